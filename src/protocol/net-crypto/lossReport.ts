/** What a request packet of the peer says about our packets: which it misses, and which it has although earlier ones are missing. */
import type { CarrierLoss } from "./CarrierLoss.ts"
import type { CongestionControl } from "./CongestionControl.ts"
import { decodeRequest } from "./packetRequest.ts"
import type { ProgressWatch } from "./ProgressWatch.ts"
import type { SendWindow } from "./SendWindow.ts"

/** Whoever has to know of a loss. */
export interface LossReaders {
  readonly congestion: CongestionControl
  readonly losses: CarrierLoss
  readonly progress: ProgressWatch
}

/** Marks what is missing for being sent again, and what is not as received. What was sent a moment ago may still be on its way. */
export const takeReport = (request: Uint8Array, sending: SendWindow, readers: LossReaders, now: number): void => {
  const { congestion, losses, progress } = readers
  const { deviation, roundTrip } = congestion
  const guard = now - Math.min(500, roundTrip === undefined ? 500 : roundTrip + 2 * deviation)
  let lost = 0
  decodeRequest(request, sending.start, sending.sent, (number) => {
    const size = sending.payload(number)?.length ?? 0
    if (!sending.markMissing(number, guard)) return
    lost += size
    progress.onLost()
    losses.onLost(number, now, now - guard)
  }, (number) => sending.markReceived(number))
  if (lost > 0) congestion.onLoss(lost)
}
