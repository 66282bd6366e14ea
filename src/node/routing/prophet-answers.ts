// The calls of Prophet's protocol, answered by the member of Prophet on this node. The member itself
// refuses with NOT_LEADER and a hint when it does not lead.

import { MatrixError } from '../../kernel/errors.ts';
import type { PeerRequest } from '../../wire/gen/matrixkv/v1/peer_pb.ts';
import type { PeerAnswer } from '../../wire/peer-messages.ts';
import { fromUint64, toUint64 } from '../../wire/safe-number.ts';
import { fromRoutesRequest, toCluster, toRoute, toStatus } from './cluster-codec.ts';
import type { ProphetService } from './prophet-service.ts';
import { fromHeartbeat, fromRegistration, toHeartbeatAnswer, toRegistered } from './store-codec.ts';

/** Long enough for every name and nonce that the configuration admits. */
const MEMBER_BYTES_MAX = 256;

export async function answerProphetCall(
  request: PeerRequest['request'],
  context: { readonly prophet: ProphetService | undefined; readonly deadline: number },
): Promise<PeerAnswer> {
  const { prophet, deadline } = context;
  if (prophet === undefined) {
    throw new MatrixError('NOT_LEADER', 'This node is no member of Prophet');
  }
  switch (request.case) {
    case 'registerStore': {
      const registered = await prophet.registerStore(fromRegistration(request.value), deadline);
      return { case: 'registerStore', value: toRegistered(registered) };
    }
    case 'storeHeartbeat': {
      const heard = await prophet.storeHeartbeat(fromHeartbeat(request.value), deadline);
      return { case: 'storeHeartbeat', value: toHeartbeatAnswer(heard) };
    }
    case 'allocateIds': {
      const { first } = await prophet.allocateIds(request.value.count, deadline);
      return { case: 'allocateIds', value: { first: toUint64(first) } };
    }
    case 'routes': {
      const { routes } = await prophet.routes(fromRoutesRequest(request.value), deadline);
      return { case: 'routes', value: { routes: routes.map(toRoute) } };
    }
    case 'stores': {
      const { stores } = await prophet.stores(deadline);
      return { case: 'stores', value: { stores: stores.map(toStatus) } };
    }
    case 'cluster':
      return { case: 'cluster', value: toCluster(await prophet.cluster(deadline)) };
    case 'drain': {
      const storeId = fromUint64(request.value.storeId, 'store_id');
      if (request.value.cancel) await prophet.cancelDrain(storeId, deadline);
      else await prophet.drain(storeId, deadline);
      return { case: 'drain', value: {} };
    }
    case 'probeMember': {
      const { name, nonce } = request.value;
      if (name.length > MEMBER_BYTES_MAX || nonce.length > MEMBER_BYTES_MAX) {
        throw new MatrixError('INVALID_ARGUMENT', 'Name or nonce of the member is too long');
      }
      const { hasTakenPart } = await prophet.probeMember({ name, nonce: nonce.slice() }, deadline);
      return { case: 'probeMember', value: { hasTakenPart } };
    }
    default:
      throw new MatrixError('UNSUPPORTED', `Prophet knows no call ${request.case}`);
  }
}
