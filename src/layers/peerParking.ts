/**
 * Lets the relays of a peer rest while a direct link carries its sessions (design, "Parking"; rows T26 to T29): after a quiet period the
 * greater identity asks, the other agrees once nothing of its own is on its way, and both stop sending. Whoever needs the relays again
 * wakes them; that is `PeerLinks`' business.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { Park, ParkAck } from "../schema/LinkControl.ts"
import type { DirectNumbers } from "../services/DirectSettings.ts"
import type { PeerControl, RelayedLink } from "./relayedLink.ts"
import type { Waiters } from "./waitUntil.ts"

/** Milliseconds for the peer to agree, or for the last acknowledgement. */
const answerTimeout = 5_000

export interface PeerParkingOptions {
  /** Our identity is the greater one. */
  readonly greater: boolean
  readonly numbers: DirectNumbers
  /** Woken whenever something that is asked for here may have changed. */
  readonly waiters: Waiters
  readonly relayed: () => RelayedLink | undefined
  /** Whether a direct link carries the sessions, both ways. */
  readonly isDirect: () => boolean
}

export class PeerParking {
  readonly #options: PeerParkingOptions
  /** The link over which the peer has asked, or agreed. */
  #asked: RelayedLink | undefined = undefined
  #agreed: RelayedLink | undefined = undefined

  constructor(options: PeerParkingOptions) {
    this.#options = options
  }

  onControl(link: RelayedLink, control: PeerControl): void {
    if (control._tag === "Park") this.#asked = link
    if (control._tag === "ParkAck") this.#agreed = link
    this.#options.waiters.wake()
  }

  /** Until it is interrupted. */
  get run(): Effect.Effect<never> {
    return Effect.forever(Effect.suspend(() => this.#options.greater ? this.#ask : this.#answer))
  }

  /** The relayed link, if it could rest. */
  get #idle(): RelayedLink | undefined {
    const { isDirect, relayed } = this.#options
    const link = relayed()
    return isDirect() && link?.isGreeted === true && link.connection.parked() === "awake" ? link : undefined
  }

  /** Each side keeps a relay connected or not, as it is set there. */
  #park(link: RelayedLink): void {
    link.connection.park(this.#options.numbers.warmRelay ? 1 : 0)
  }

  /** Waits until this link has no reason to rest any more. */
  #disturbed(link: RelayedLink): Effect.Effect<void> {
    return this.#options.waiters.until(() => this.#idle === link ? undefined : Effect.void)
  }

  get #ask(): Effect.Effect<void> {
    const { numbers, waiters } = this.#options
    return Effect.gen({ self: this }, function*() {
      const link = yield* waiters.until(() => this.#idle && Effect.succeed(this.#idle))
      const agreement = Effect.suspend(() => {
        this.#agreed = undefined
        link.control(Park.make({ nextPacketNumber: link.connection.nextPacketNumber() }))
        return waiters.until(() => this.#agreed === link ? Effect.void : undefined)
      })
      const parked = Effect.sleep(Duration.millis(numbers.quietPeriod)).pipe(
        Effect.andThen(Effect.ignore(link.connection.drained)),
        Effect.andThen(Effect.timeoutOption(agreement, answerTimeout)),
        Effect.map((answer) => {
          if (answer._tag === "Some") this.#park(link)
        })
      )
      yield* Effect.raceFirst(parked, this.#disturbed(link))
    })
  }

  get #answer(): Effect.Effect<void> {
    const { waiters } = this.#options
    return Effect.gen({ self: this }, function*() {
      const link = yield* waiters.until(() => {
        const asked = this.#asked
        this.#asked = undefined
        return asked && Effect.succeed(asked)
      })
      // Not while the sessions need the relays on this side: then the peer hears nothing, and asks again if there is reason to.
      if (this.#idle !== link) return
      const drained = Effect.ignore(Effect.timeoutOption(link.connection.drained, answerTimeout))
      const parked = drained.pipe(
        Effect.andThen(Effect.sync(() => link.control(ParkAck.make({})))),
        Effect.andThen(drained),
        Effect.map(() => this.#park(link))
      )
      yield* Effect.raceFirst(parked, this.#disturbed(link))
    })
  }
}
