// Memory and processor time of processes, as Linux tells in /proc.

import { readFile } from 'node:fs/promises';

/** Of the kernel's clock that /proc counts in; 100 on every Linux that is in use. */
const TICKS_PER_SECOND = 100;
/** Fields of /proc/PID/stat behind the name, which may hold spaces: state is the first. */
const USER_TICKS_FIELD = 11;
const SYSTEM_TICKS_FIELD = 12;

export async function readResidentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? Number.NaN) * 1024;
}

/** Since the process began, in all its threads. */
export async function readProcessorSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = Number(fields[USER_TICKS_FIELD]) + Number(fields[SYSTEM_TICKS_FIELD]);
  return ticks / TICKS_PER_SECOND;
}
