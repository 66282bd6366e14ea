// Prophet as the rest of the node sees it: the member on this node when it leads, and the client
// that finds the leader wherever it is, have the same face.

import type { StoreId } from '../../kernel/ids.ts';
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

/**
 * Every call may be repeated. Errors: NOT_LEADER with a hint, UNAVAILABLE, TIMEOUT; STORE_MISMATCH
 * with the advice `no`, or STORE_REMOVED, for a store that must not go on; PRECONDITION_FAILED with the reason.
 */
export interface ProphetService {
  registerStore(request: RegisterStoreRequest, deadline: number): Promise<RegisterStoreResponse>;
  storeHeartbeat(request: StoreHeartbeatRequest, deadline: number): Promise<StoreHeartbeatResponse>;
  allocateIds(count: number, deadline: number): Promise<AllocateIdsResponse>;
  routes(request: RoutesRequest, deadline: number): Promise<RoutesResponse>;
  stores(deadline: number): Promise<StoresResponse>;
  cluster(deadline: number): Promise<ClusterResponse>;
  drain(storeId: StoreId, deadline: number): Promise<void>;
  cancelDrain(storeId: StoreId, deadline: number): Promise<void>;
  probeMember(request: ProbeMemberRequest, deadline: number): Promise<ProbeMemberResponse>;
}
