/**
 * The token of a ConnectRequest (design, "Direct links"): HMAC-SHA-256 under a key of this process over what the request says and to whom.
 * A response that brings it back answers a request of ours, to this peer, with these endpoints (row M10). The caller owns the key.
 */
import { hmac } from "@noble/hashes/hmac.js"
import { sha256 } from "@noble/hashes/sha2.js"
import { attemptSize, maxEndpoints } from "../../schema/DirectPacket.ts"
import { endpointList, type IpEndpoint, udpFamilies } from "../../schema/IpEndpoint.ts"
import * as Field from "../../schema/WireField.ts"
import * as Wire from "../../schema/WirePacket.ts"
import { equalConstantTime } from "../crypto/equalConstantTime.ts"

/** What the token covers. */
const Covered = Wire.struct("Covered", {
  attempt: Field.bytes(attemptSize),
  peer: Field.publicKey,
  endpoints: endpointList(maxEndpoints, udpFamilies)
})
type Covered = Wire.ValueOf<typeof Covered>

/** The 32-byte token of a request to `peer` that offers `endpoints`, at most 8. */
export const connectToken = (
  processKey: Uint8Array,
  attempt: Uint8Array,
  peer: Covered["peer"],
  endpoints: ReadonlyArray<IpEndpoint>
): Uint8Array => hmac(sha256, processKey, Covered.encode(Covered.make({ attempt, peer, endpoints })))

/** Whether `token` belongs to that request. The comparison takes the same time wherever they differ. */
export const isConnectToken = (
  token: Uint8Array,
  processKey: Uint8Array,
  attempt: Uint8Array,
  peer: Covered["peer"],
  endpoints: ReadonlyArray<IpEndpoint>
): boolean => equalConstantTime(token, connectToken(processKey, attempt, peer, endpoints))
