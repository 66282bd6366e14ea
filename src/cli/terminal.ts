// Where `mkv` reads and writes, as a port: the process's streams in main.ts, strings in tests.

export interface Terminal {
  /** Results: what a script would read. */
  out(data: string | Uint8Array): void;
  /** Words about the work: what a script would throw away. */
  note(line: string): void;
  /** All of standard input. */
  readInput(): Promise<Uint8Array>;
  /** A person looks at the results. */
  readonly isInteractive: boolean;
  /** Emphasis, where the terminal can show it. */
  strong(text: string): string;
}

export type Environment = Readonly<Record<string, string | undefined>>;
