/**
 * Where a relay is and who it is. The public key is the identity; host and port may change.
 */
import * as Schema from "effect/Schema"
import { PublicKey } from "./Bytes.ts"

/** A TCP port that can be dialled, 1..65535. */
export const Port = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 65_535 }))

/** A relay: host name or IP literal (IPv6 without brackets), TCP port, and the relay's public key. */
export const RelayAddress = Schema.Struct({ host: Schema.NonEmptyString, port: Port, publicKey: PublicKey })
export type RelayAddress = typeof RelayAddress.Type
