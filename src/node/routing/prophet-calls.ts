// The calls of Prophet as data: what each one asks over the wire, how its answer is read, and how
// the member on this very node is asked instead. `ProphetClient` only has to find the leader.

import type { StoreId } from '../../kernel/ids.ts';
import type { PeerResponse } from '../../wire/gen/matrixkv/v1/peer_pb.ts';
import type { PeerQuestion } from '../../wire/peer-messages.ts';
import { fromUint64, toUint64 } from '../../wire/safe-number.ts';
import type {
  AllocateIdsResponse,
  ClusterResponse,
  ProbeMemberRequest,
  ProbeMemberResponse,
  RegisterStoreRequest,
  RegisterStoreResponse,
  RoutesRequest,
  RoutesResponse,
  StoreHeartbeatRequest,
  StoreHeartbeatResponse,
  StoresResponse,
} from '../prophet/protocol.ts';
import { fromCluster, fromRoute, fromStatus, toRoutesRequest } from './cluster-codec.ts';
import type { ProphetService } from './prophet-service.ts';
import { fromHeartbeatAnswer, fromRegistered, toHeartbeat, toRegistration } from './store-codec.ts';

type Response = PeerResponse['response'];

export interface ProphetCall<Answer> {
  readonly question: PeerQuestion;
  /** Undefined when the response answers something else. Throws on what makes no sense. */
  read(response: Response): Answer | undefined;
  /** Asks the member on this node. */
  askLocally(prophet: ProphetService, deadline: number): Promise<Answer>;
  /** The term of the leader that answered, where the answer says it. */
  termOf?(answer: Answer): number;
}

export function registerStoreCall(
  request: RegisterStoreRequest,
): ProphetCall<RegisterStoreResponse> {
  return {
    question: { case: 'registerStore', value: toRegistration(request) },
    read: (response) =>
      response.case === 'registerStore' ? fromRegistered(response.value) : undefined,
    askLocally: (prophet, deadline) => prophet.registerStore(request, deadline),
  };
}

export function storeHeartbeatCall(
  request: StoreHeartbeatRequest,
): ProphetCall<StoreHeartbeatResponse> {
  return {
    question: { case: 'storeHeartbeat', value: toHeartbeat(request) },
    read: (response) =>
      response.case === 'storeHeartbeat' ? fromHeartbeatAnswer(response.value) : undefined,
    askLocally: (prophet, deadline) => prophet.storeHeartbeat(request, deadline),
    termOf: (answer) => answer.prophetTerm,
  };
}

export function allocateIdsCall(count: number): ProphetCall<AllocateIdsResponse> {
  return {
    question: { case: 'allocateIds', value: { count } },
    read: (response) =>
      response.case === 'allocateIds'
        ? { first: fromUint64(response.value.first, 'first') }
        : undefined,
    askLocally: (prophet, deadline) => prophet.allocateIds(count, deadline),
  };
}

export function routesCall(request: RoutesRequest): ProphetCall<RoutesResponse> {
  return {
    question: { case: 'routes', value: toRoutesRequest(request) },
    read: (response) =>
      response.case === 'routes' ? { routes: response.value.routes.map(fromRoute) } : undefined,
    askLocally: (prophet, deadline) => prophet.routes(request, deadline),
  };
}

export function storesCall(): ProphetCall<StoresResponse> {
  return {
    question: { case: 'stores', value: {} },
    read: (response) =>
      response.case === 'stores' ? { stores: response.value.stores.map(fromStatus) } : undefined,
    askLocally: (prophet, deadline) => prophet.stores(deadline),
  };
}

export function clusterCall(): ProphetCall<ClusterResponse> {
  return {
    question: { case: 'cluster', value: {} },
    read: (response) => (response.case === 'cluster' ? fromCluster(response.value) : undefined),
    askLocally: (prophet, deadline) => prophet.cluster(deadline),
    termOf: (answer) => answer.prophetTerm,
  };
}

export function drainCall(request: {
  readonly storeId: StoreId;
  readonly isCancelled: boolean;
}): ProphetCall<true> {
  const { storeId, isCancelled } = request;
  return {
    question: { case: 'drain', value: { storeId: toUint64(storeId), cancel: isCancelled } },
    read: (response) => (response.case === 'drain' ? true : undefined),
    askLocally: async (prophet, deadline) => {
      if (isCancelled) await prophet.cancelDrain(storeId, deadline);
      else await prophet.drain(storeId, deadline);
      return true;
    },
  };
}

export function probeMemberCall(request: ProbeMemberRequest): ProphetCall<ProbeMemberResponse> {
  const { name, nonce } = request;
  return {
    question: { case: 'probeMember', value: { name, nonce } },
    read: (response) =>
      response.case === 'probeMember' ? { hasTakenPart: response.value.hasTakenPart } : undefined,
    askLocally: (prophet, deadline) => prophet.probeMember(request, deadline),
  };
}
