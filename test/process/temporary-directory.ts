// Directories of real clusters. MATRIXKV_KEEP=1 leaves them, with their logs, for whoever looks for the
// cause of a failure; a diagnostic says where they are.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export async function makeDirectory(): Promise<string> {
  return await mkdtemp(join(tmpdir(), 'matrixkv-process-'));
}

export async function removeDirectory(directory: string): Promise<void> {
  if (process.env['MATRIXKV_KEEP'] === '1') console.error(`Kept: ${directory}`);
  else await rm(directory, { recursive: true, force: true });
}
