// `mkv scan`: keys in order, page after page. Printed piece by piece, so that a scan of
// everything never holds more than two pages in memory.

import { type Command, Option } from 'commander';
import { describeBytes } from '../kernel/bytes.ts';
import { formatSize } from '../kernel/quantity.ts';
import type { Api, ScanEntry, ScanQuery } from './api.ts';
import { bytesToJson } from './byte-json.ts';
import { apiOf, type CommandContext, type GlobalOptions, parseWhole } from './command-context.ts';
import { formatTable } from './table.ts';
import type { Terminal } from './terminal.ts';

const PAGE_ITEMS_MAX = 1_000;
const SHOWN_LENGTH_MAX = 60;

interface ScanOptions extends GlobalOptions {
  readonly start: string;
  readonly end: string;
  readonly limit: number;
  readonly reverse?: boolean;
  readonly keysOnly?: boolean;
}

export function addScanCommand(program: Command, context: CommandContext): void {
  program
    .command('scan')
    .description('list keys in order, of all shards')
    .argument('[prefix]', 'only keys that begin with this', '')
    .addOption(new Option('--start <key>', 'the first key, inclusive').default('', 'none'))
    .addOption(new Option('--end <key>', 'the end, exclusive').default('', 'none'))
    .addOption(
      new Option('--limit <n>', 'at most so many keys; 0: all')
        .argParser(parseWhole({ min: 0, max: Number.MAX_SAFE_INTEGER }))
        .default(100),
    )
    .option('--reverse', 'from the last key to the first')
    .option('--keys-only', 'leave the values out')
    .addHelpText('after', EXAMPLES)
    .action((prefix: string, _options: unknown, command: Command) =>
      runScan(prefix, command.optsWithGlobals<ScanOptions>(), context),
    );
}

const EXAMPLES = `
Keys are ordered as bytes. Values and keys that are no text are shown as 0x...; -o json has them in
full. Each page of ${PAGE_ITEMS_MAX} keys is consistent in itself, a longer scan is not one snapshot.

Examples:
  mkv scan user:                          all keys that begin with user:
  mkv scan --start a --end b --keys-only
  mkv scan --limit 0 -o json > all.json`;

async function runScan(
  prefix: string,
  options: ScanOptions,
  context: CommandContext,
): Promise<void> {
  const { terminal } = context;
  const { start, end } = options;
  const keysOnly = options.keysOnly === true;
  const query = { prefix, start, end, isReverse: options.reverse === true, keysOnly };
  const printer =
    options.output === 'json' ? jsonPrinter(terminal, keysOnly) : tablePrinter(terminal, keysOnly);
  const scanned = await eachPage(
    apiOf(options, context),
    { query, limit: options.limit },
    printer.page,
  );
  printer.finish();
  if (scanned.hasMore) {
    terminal.note(`The first ${scanned.count} keys; there are more: --limit 0 lists all`);
  }
}

interface ScanEnd {
  readonly count: number;
  readonly hasMore: boolean;
}

async function eachPage(
  api: Api,
  { query, limit }: { readonly query: ScanQuery; readonly limit: number },
  print: (items: readonly ScanEntry[]) => void,
): Promise<ScanEnd> {
  let count = 0;
  let next: string | undefined;
  do {
    const left = limit === 0 ? PAGE_ITEMS_MAX : limit - count;
    const page = await api.scan(query, { limit: Math.min(PAGE_ITEMS_MAX, left), next });
    print(page.items);
    count += page.items.length;
    next = page.next;
  } while (next !== undefined && (limit === 0 || count < limit));
  return { count, hasMore: next !== undefined };
}

interface Printer {
  page(items: readonly ScanEntry[]): void;
  finish(): void;
}

/** One JSON list, an element to a line. */
function jsonPrinter(terminal: Terminal, keysOnly: boolean): Printer {
  let before = '[\n';
  return {
    page: (items) => {
      for (const { key, value, version } of items) {
        const bytes = bytesToJson(keysOnly ? { key } : { key, value });
        terminal.out(`${before}  ${JSON.stringify({ ...bytes, version })}`);
        before = ',\n';
      }
    },
    finish: () => terminal.out(before === '[\n' ? '[]\n' : '\n]\n'),
  };
}

/** Rows are gathered, as a page may be short: columns that jump every few lines cannot be read. */
function tablePrinter(terminal: Terminal, keysOnly: boolean): Printer {
  let heads = keysOnly ? ['KEY', 'VERSION'] : ['KEY', 'VERSION', 'VALUE'];
  let rows: string[][] = [];
  const flush = (): void => {
    if (rows.length === 0) return;
    terminal.out(formatTable(heads, rows));
    heads = [];
    rows = [];
  };
  return {
    page: (items) => {
      for (const { key, value, version } of items) {
        const row = [shown(key), String(version)];
        rows.push(keysOnly ? row : [...row, shown(value)]);
      }
      if (rows.length >= PAGE_ITEMS_MAX) flush();
    },
    finish: () => {
      flush();
      if (heads.length > 0) terminal.note('No keys');
    },
  };
}

/** Bytes in a column: text as it is, cut where it is long. */
function shown(bytes: Uint8Array): string {
  if (bytes.length === 0) return '""';
  const head = bytes.subarray(0, SHOWN_LENGTH_MAX * 4);
  const text = describeBytes(head);
  const plain = text.startsWith('"') ? text.slice(1, -1) : text;
  const isWhole = head.length === bytes.length && plain.length <= SHOWN_LENGTH_MAX;
  return isWhole ? plain : `${plain.slice(0, SHOWN_LENGTH_MAX)}… (${formatSize(bytes.length)})`;
}
