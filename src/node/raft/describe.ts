// Messages and Readys as lines of text, for golden scripts and debug logs: `2->1 append-response
// term=1 index=12`. Positions are written term/index.

import { unreachable } from '../../kernel/assert.ts';
import { describeBytes } from '../../kernel/bytes.ts';
import type { EntryId } from '../../kernel/ids.ts';
import type { ConfState, Entry, Message, Ready, SnapshotMeta } from './messages.ts';

export function describeMessage(message: Message): string {
  const { from, to, type, term } = message;
  const details = describeDetails(message);
  return `${from}->${to} ${type} term=${term}${details === '' ? '' : ` ${details}`}`;
}

/** One line for each thing that the owner has to do, in the order in which it is done. */
export function describeReady(ready: Ready): string[] {
  const { hardState, snapshot } = ready;
  const lines: string[] = [];
  if (hardState !== undefined) {
    const { term, vote, commit } = hardState;
    lines.push(`hard-state term=${term} vote=${vote} commit=${commit}`);
  }
  if (snapshot !== undefined) lines.push(`install ${describeSnapshot(snapshot)}`);
  lines.push(...ready.entries.map((entry) => `store ${describeEntry(entry)}`));
  lines.push(...ready.messages.map((message) => `send ${describeMessage(message)}`));
  lines.push(...ready.messagesAfterPersist.map((message) => `then ${describeMessage(message)}`));
  lines.push(...ready.committed.map((entry) => `apply ${describeEntry(entry)}`));
  lines.push(...ready.reads.map(({ sequence, index }) => `read ${sequence} at ${index}`));
  lines.push(...ready.droppedReads.map((sequence) => `read ${sequence} dropped`));
  lines.push(...ready.snapshotsWanted.map((id) => `snapshot wanted for ${id}`));
  return lines;
}

export function describeEntry(entry: Entry): string {
  const data = entry.kind === 'empty' ? '' : ` ${describeBytes(entry.data)}`;
  return `${describeId(entry)} ${entry.kind}${data}`;
}

export function describeConf(conf: ConfState): string {
  return `voters=${conf.voters.join(',')} learners=${conf.learners.join(',')}`;
}

function describeId(id: EntryId): string {
  return `${id.term}/${id.index}`;
}

function describeSnapshot(snapshot: SnapshotMeta): string {
  return `snapshot=${describeId(snapshot.last)} ${describeConf(snapshot.conf)}`;
}

function describeDetails(message: Message): string {
  switch (message.type) {
    case 'pre-vote':
      return `last=${describeId(message.last)}`;
    case 'vote':
      return `last=${describeId(message.last)}${message.isTransfer ? ' transfer' : ''}`;
    case 'pre-vote-response':
    case 'vote-response':
      return message.granted ? 'granted' : 'refused';
    case 'append': {
      const entries = message.entries.map(describeEntry).join(', ');
      return `previous=${describeId(message.previous)} commit=${message.commit} [${entries}]`;
    }
    case 'append-response':
      return message.hint === undefined
        ? `index=${message.index}`
        : `refused=${message.index} hint=${describeId(message.hint)}`;
    case 'heartbeat':
      return `commit=${message.commit} read=${message.readSequence}`;
    case 'heartbeat-response':
      return `read=${message.readSequence}`;
    case 'snapshot':
      return describeSnapshot(message.snapshot);
    case 'timeout-now':
      return '';
    default:
      return unreachable(message);
  }
}
