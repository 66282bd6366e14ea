// Just enough understanding of TypeScript text for the house rules: which characters are code, which
// are comment or string, where imports are, and where functions begin and end. TypeScript 7 ships no
// parser for scripts to use. Brackets and quotes are followed exactly; what kind of bracket it is, is
// judged by the words before it, which the formatter keeps regular.

export interface SourceFile {
  /** From the project's root, with forward slashes. */
  readonly path: string;
  readonly text: string;
}

export interface Import {
  readonly from: string;
  readonly line: number;
}

export interface FunctionSpan {
  readonly name: string;
  readonly line: number;
  readonly lines: number;
  /** The call that the function is handed to, as in `describe(..., () => {})`. */
  readonly handedTo: string | undefined;
}

/** The text with comments blanked, and with what stands in strings blanked too when asked; same length. */
export function blank(text: string, options: { readonly keepStrings: boolean }): string {
  const out = text.split('');
  const wipe = (from: number, to: number): void => {
    for (let at = from; at < to; at += 1) if (out[at] !== '\n') out[at] = ' ';
  };
  const templates: number[] = []; // brace depth inside each open `${`
  let at = text.startsWith('#!') ? endOf(text, '\n', 0) : 0;
  while (at < text.length) {
    const end = tokenEnd(text, at, templates);
    const first = text[at] ?? '';
    const isComment = text.startsWith('//', at) || text.startsWith('/*', at);
    if (end > at + 1) {
      if (isComment) wipe(at, end);
      else if (!options.keepStrings) wipe(at + 1, end - (first === '/' ? 0 : 1));
    }
    at = end;
  }
  return out.join('');
}

/** Where the comment, string, pattern or single character that begins here ends. */
function tokenEnd(text: string, at: number, templates: number[]): number {
  const first = text[at];
  if (text.startsWith('//', at)) return endOf(text, '\n', at);
  if (text.startsWith('/*', at)) return endOf(text, '*/', at + 2) + 2;
  if (first === "'" || first === '"') return quotedEnd(text, at, first);
  if (first === '`') return templateEnd(text, at, templates);
  if (first === '/' && startsPattern(text, at)) return patternEnd(text, at);
  const depth = templates.at(-1);
  if (depth !== undefined && first === '{') templates[templates.length - 1] = depth + 1;
  if (depth !== undefined && first === '}') {
    if (depth === 0) {
      templates.pop();
      return templateEnd(text, at, templates);
    }
    templates[templates.length - 1] = depth - 1;
  }
  return at + 1;
}

function endOf(text: string, mark: string, from: number): number {
  const found = text.indexOf(mark, from);
  return found === -1 ? text.length : found;
}

function quotedEnd(text: string, start: number, quote: string): number {
  for (let at = start + 1; at < text.length; at += 1) {
    if (text[at] === '\\') at += 1;
    else if (text[at] === quote || text[at] === '\n') return at + 1;
  }
  return text.length;
}

/** From an opening backtick, or from the brace that closes `${`, to the next `${` or closing backtick. */
function templateEnd(text: string, start: number, templates: number[]): number {
  for (let at = start + 1; at < text.length; at += 1) {
    if (text[at] === '\\') at += 1;
    else if (text[at] === '`') return at + 1;
    else if (text.startsWith('${', at)) {
      templates.push(0);
      return at + 2;
    }
  }
  return text.length;
}

function startsPattern(text: string, at: number): boolean {
  const before = text.slice(Math.max(0, at - 40), at).trimEnd();
  return before === '' || /[(,=:[!&|?{};+]$|\b(?:return|typeof|case|in|of)$|=>$/.test(before);
}

function patternEnd(text: string, start: number): number {
  let isInClass = false;
  for (let at = start + 1; at < text.length; at += 1) {
    const letter = text[at];
    if (letter === '\\') at += 1;
    else if (letter === '\n') return at;
    else if (letter === '[') isInClass = true;
    else if (letter === ']') isInClass = false;
    else if (letter === '/' && !isInClass) return at + 1;
  }
  return text.length;
}

export function lineAt(text: string, at: number): number {
  let line = 1;
  for (let index = 0; index < at; index += 1) if (text[index] === '\n') line += 1;
  return line;
}

export function lineCount(text: string): number {
  return text.split('\n').length - (text.endsWith('\n') ? 1 : 0);
}

const IMPORT = /\bfrom\s*(['"])([^'"\n]+)\1|\bimport\s*\(?\s*(['"])([^'"\n]+)\3/g;

export function importsOf(text: string): readonly Import[] {
  const code = blank(text, { keepStrings: false });
  const withStrings = blank(text, { keepStrings: true });
  return [...withStrings.matchAll(IMPORT)]
    .filter((match) => /^(?:from|import)/.test(code.slice(match.index)))
    .map((match) => ({
      from: match[2] ?? match[4] ?? '',
      line: lineAt(text, match.index),
    }));
}

/** All functions with a body in braces, nested ones included. */
export function functionsOf(text: string): readonly FunctionSpan[] {
  const code = blank(text, { keepStrings: false });
  const functions: FunctionSpan[] = [];
  const open: { readonly brace: number; readonly head: Head | undefined }[] = [];
  for (let at = 0; at < code.length; at += 1) {
    if (code[at] === '{') open.push({ brace: at, head: headBefore(code, at) });
    if (code[at] !== '}') continue;
    const opened = open.pop();
    if (opened?.head === undefined) continue;
    const line = lineAt(code, opened.head.start);
    const lines = lineAt(code, at) - line + 1;
    functions.push({ name: opened.head.name, line, lines, handedTo: opened.head.handedTo });
  }
  return functions;
}

interface Head {
  readonly name: string;
  readonly start: number;
  readonly handedTo: string | undefined;
}

const NO_FUNCTIONS = new Set(['if', 'for', 'while', 'switch', 'catch', 'with', 'await']);

/** What stands before a brace, if it makes the brace the beginning of a function's body. */
function headBefore(code: string, brace: number): Head | undefined {
  const before = code.slice(0, brace).trimEnd();
  const closing = before.endsWith('=>') ? parameterEnd(before.slice(0, -2)) : parameterEnd(before);
  if (closing === undefined) {
    // One bare parameter (`x => {`) or a return type written with braces (`): { a: number } {`).
    if (before.endsWith('=>')) return { name: 'arrow function', start: brace, handedTo: undefined };
    return undefined;
  }
  const opening = matchingOpening(before, closing);
  if (opening === undefined) return undefined;
  const lead = before.slice(0, opening);
  if (before.endsWith('=>')) return arrowHead(lead, opening);
  const named = /([\w$#]+)\s*(?:<[^(){};]*>)?\s*$/.exec(lead);
  const name = named?.[1];
  if (named === null || name === undefined || NO_FUNCTIONS.has(name)) return undefined;
  return { name, start: named.index, handedTo: undefined };
}

/** Words that show that the text after a bracket and a colon is more than a return type. */
const NO_TYPE = /=|\b(?:case|class|const|export|import|interface|let|return|type)\b/;

/** The position of the parameter list's closing bracket, with or without a return type after it. */
function parameterEnd(before: string): number | undefined {
  const text = before.trimEnd();
  if (text.endsWith(')')) return text.length - 1;
  const typed = /\)\s*:\s*(?:asserts\s+|[\w$.]+\s+is\s+)?[\w$.'"|&<>,\s[\]{}:;?-]+$/.exec(
    text.slice(-400),
  );
  if (typed === null || NO_TYPE.test(typed[0])) return undefined;
  return text.length - typed[0].length;
}

function matchingOpening(code: string, closing: number): number | undefined {
  let depth = 0;
  for (let at = closing; at >= 0; at -= 1) {
    if (code[at] === ')') depth += 1;
    if (code[at] === '(') depth -= 1;
    if (depth === 0) return at;
  }
  return undefined;
}

function arrowHead(lead: string, opening: number): Head {
  const named = /\b(?:const|let)\s+([\w$]+)[^=;{}]*=\s*(?:async\s*)?$/.exec(lead.slice(-200));
  const handed = /([\w$]+)(?:\.(?:only|skip|todo))?\(\s*(?:[^()]*,\s*)?(?:async\s*)?$/.exec(
    lead.slice(-400),
  );
  return { name: named?.[1] ?? 'arrow function', start: opening, handedTo: handed?.[1] };
}
