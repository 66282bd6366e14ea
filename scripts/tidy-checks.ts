// The house rules applied to files in memory: pure, so that the tests can plant wrong files.

import { posix } from 'node:path';
import type { SourceFile } from './source-text.ts';
import { blank, functionsOf, importsOf, lineAt, lineCount } from './source-text.ts';
import type { Room } from './tidy-rules.ts';
import {
  BANNED_WORDS,
  EMPTY_NAMES,
  FILE_LINES_MAX,
  FUNCTION_LINES_MAX,
  isGenerated,
  isTest,
  PACKAGE_DOORS,
  ROOMS,
  TEST_CALLS,
  TEST_FILE_LINES_MAX,
  UNFINISHED,
} from './tidy-rules.ts';

export interface Report {
  /** One line each: `path:line: what is wrong`, sorted. */
  readonly problems: readonly string[];
  readonly files: number;
  readonly imports: number;
}

/** Checks a whole project at once, since cycles show only in the whole. */
export function checkProject(files: readonly SourceFile[]): Report {
  const written = files.filter((file) => !isGenerated(file.path));
  const imports = written.reduce((sum, file) => sum + importsOf(file.text).length, 0);
  const problems = written.flatMap((file) => [
    ...checkName(file),
    ...checkSizes(file),
    ...checkUnfinished(file),
    ...(isInRooms(file) ? [...checkImports(file), ...checkBannedWords(file)] : []),
  ]);
  problems.push(...checkCycles(written));
  if (!written.some((file) => file.path.startsWith('src/')) || imports === 0) {
    problems.push('tidy saw no files or no imports in src: the check is empty');
  }
  return { problems: problems.sort(), files: written.length, imports };
}

/** Room rules and banned words hold for the product itself, not for its tests and scripts. */
function isInRooms(file: SourceFile): boolean {
  return file.path.startsWith('src/') && !isTest(file.path);
}

function matches(path: string, places: readonly string[]): boolean {
  return places.some((place) => path.startsWith(place));
}

function checkName(file: SourceFile): string[] {
  const parts = file.path.replace(/(?:\.test|\.d)?\.ts$/, '').split('/');
  return parts
    .filter((part) => EMPTY_NAMES.includes(part))
    .map((part) => `${file.path}:1: the name "${part}" says nothing about what is inside`);
}

function checkSizes(file: SourceFile): string[] {
  const problems: string[] = [];
  const linesMax = isTest(file.path) ? TEST_FILE_LINES_MAX : FILE_LINES_MAX;
  const lines = lineCount(file.text);
  if (lines > linesMax) {
    problems.push(`${file.path}:1: the file has ${lines} lines, at most ${linesMax} are allowed`);
  }
  for (const span of functionsOf(file.text)) {
    if (span.lines <= FUNCTION_LINES_MAX) continue;
    if (span.handedTo !== undefined && TEST_CALLS.includes(span.handedTo)) continue;
    problems.push(
      `${file.path}:${span.line}: ${span.name} has ${span.lines} lines, ` +
        `at most ${FUNCTION_LINES_MAX} are allowed`,
    );
  }
  return problems;
}

function checkUnfinished(file: SourceFile): string[] {
  const match = UNFINISHED.exec(file.text);
  if (match === null) return [];
  return [
    `${file.path}:${lineAt(file.text, match.index)}: ${match[0]}: finish it or open an issue`,
  ];
}

function checkBannedWords(file: SourceFile): string[] {
  const code = blank(file.text, { keepStrings: false });
  const problems: string[] = [];
  for (const rule of BANNED_WORDS) {
    if (rule.onlyIn !== undefined && !matches(file.path, rule.onlyIn)) continue;
    if (matches(file.path, rule.allowedIn)) continue;
    const match = rule.pattern.exec(code);
    if (match === null) continue;
    const where = `${file.path}:${lineAt(code, match.index)}`;
    problems.push(`${where}: ${match[0].trim()}: ${rule.what}, use ${rule.instead}`);
  }
  return problems;
}

/** The innermost room that a file lies in. */
function roomOf(path: string): string | undefined {
  const candidates = Object.entries(ROOMS).filter(([room, { isShallow = false }]) =>
    isShallow ? posix.dirname(path) === room : path.startsWith(`${room}/`),
  );
  return candidates.map(([room]) => room).sort((a, b) => b.length - a.length)[0];
}

function checkImports(file: SourceFile): string[] {
  const roomName = roomOf(file.path);
  const room = roomName === undefined ? undefined : ROOMS[roomName];
  if (roomName === undefined || room === undefined) {
    return [`${file.path}:1: belongs to no room of scripts/tidy-rules.ts`];
  }
  return importsOf(file.text).flatMap(({ from, line }) => {
    const problem = judgeImport({ path: file.path, roomName, room, from });
    return problem === undefined ? [] : [`${file.path}:${line}: ${problem}`];
  });
}

interface ImportInRoom {
  readonly path: string;
  readonly roomName: string;
  readonly room: Room;
  readonly from: string;
}

function judgeImport({ path, roomName, room, from }: ImportInRoom): string | undefined {
  if (from.startsWith('.')) {
    return judgeNeighbour({ roomName, room, target: resolve(path, from) });
  }
  if (from.startsWith('node:')) {
    return isBuiltinAllowed({ room, path, roomName, from })
      ? undefined
      : `${roomName} must not import ${from} here`;
  }
  const name = from
    .split('/')
    .slice(0, from.startsWith('@') ? 2 : 1)
    .join('/');
  const doors = PACKAGE_DOORS[name];
  if (doors === undefined) return `the package ${name} has no door in scripts/tidy-rules.ts`;
  return matches(path, doors) ? undefined : `${name} may be imported only in ${doors.join(', ')}`;
}

function judgeNeighbour(options: {
  readonly roomName: string;
  readonly room: Room;
  readonly target: string;
}): string | undefined {
  const { roomName, room, target } = options;
  const other = roomOf(target);
  if (other === roomName) return undefined;
  if (room.mayImport.includes(target)) return undefined;
  if (other === undefined || !room.mayImport.includes(other)) {
    return `${roomName} must not import ${other ?? 'what is in no room'} (${target})`;
  }
  const doors = ROOMS[other]?.doors;
  if (doors === undefined || doors.includes(target.slice(other.length + 1))) return undefined;
  return `${target} is no door of ${other}: come in through ${doors.join(', ')}`;
}

function isBuiltinAllowed({ room, path, roomName, from }: ImportInRoom): boolean {
  if (typeof room.builtins === 'string') return room.builtins === 'all';
  const modules = room.builtins[path.slice(roomName.length + 1)];
  return modules === 'all' || (modules?.includes(from) ?? false);
}

function resolve(path: string, from: string): string {
  return posix.join(posix.dirname(path), from);
}

/** Finds files that need each other, in a ring of any length; type imports count, as readers follow them too. */
function checkCycles(files: readonly SourceFile[]): string[] {
  const edges = new Map(
    files.map((file) => [
      file.path,
      importsOf(file.text)
        .filter(({ from }) => from.startsWith('.'))
        .map(({ from }) => resolve(file.path, from)),
    ]),
  );
  const problems: string[] = [];
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    const start = trail.indexOf(path);
    if (start !== -1) {
      const ring = [...trail.slice(start), path];
      problems.push(`${path}:1: files need each other in a ring: ${ring.join(' -> ')}`);
      return;
    }
    if (done.has(path)) return;
    for (const target of edges.get(path) ?? []) visit(target, [...trail, path]);
    done.add(path);
  };
  for (const path of edges.keys()) visit(path, []);
  return problems;
}
