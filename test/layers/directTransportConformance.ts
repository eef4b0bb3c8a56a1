/**
 * What every `DirectTransport` must do, run against each of them: the one over TLS and the one inside the process, under the real clock
 * and under `TestClock`.
 */
import type { DirectTransportUnderTest } from "./directConformanceKit.ts"
import { handshakeConformance } from "./directHandshakeConformance.ts"
import { streamConformance } from "./directStreamConformance.ts"

export type { DirectTransportUnderTest } from "./directConformanceKit.ts"

export const directConformance = <R>(subject: DirectTransportUnderTest<R>): void => {
  handshakeConformance(subject)
  streamConformance(subject)
}
