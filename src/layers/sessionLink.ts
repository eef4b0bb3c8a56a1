/**
 * The multiplexer of one net_crypto connection, brought to life: it gets the connection's packets, its times, and a fiber that ends
 * with the connection.
 */
import * as Effect from "effect/Effect"
import { SessionMux } from "../protocol/session/SessionMux.ts"
import { linkVersion } from "../schema/LinkControl.ts"
import { LinkHello } from "../schema/LinkControl.ts"
import type { NetCryptoConnection } from "../services/NetCrypto.ts"
import type { SessionNumbers } from "../services/SessionSettings.ts"
import * as WaitUntil from "./waitUntil.ts"

/** A connection's sessions, and the fibers that wait for the link itself. */
export interface SessionLink {
  readonly connection: NetCryptoConnection
  readonly mux: SessionMux
  readonly waiters: WaitUntil.Waiters
  /** Keeps the link's times. Ends with the connection; closes it when the peer broke the protocol. */
  readonly run: Effect.Effect<void>
}

/** Takes over the lossless packets of a connection and says hello. `instanceId`: 16 bytes, random per process. */
export const attach = (options: {
  readonly connection: NetCryptoConnection
  readonly instanceId: Uint8Array
  readonly greater: boolean
  readonly numbers: SessionNumbers
}): SessionLink => {
  const { connection, greater, instanceId, numbers } = options
  const waiters = WaitUntil.make()
  const creditTimer = WaitUntil.make()
  let creditLater = false
  const mux = new SessionMux({
    hello: LinkHello.make({ version: linkVersion, instanceId }),
    greater,
    numbers: {
      ...numbers,
      // The peer may stop at half the window without new credit, whatever the step.
      creditStep: Math.min(numbers.creditStep, Math.floor(numbers.window / 2))
    },
    trySend: connection.trySend,
    hold: connection.hold,
    onChange: waiters.wake,
    onCreditLater: () => {
      creditLater = true
      creditTimer.wake()
    }
  })
  mux.pump()
  connection.handle({
    onLossless: (packet) => mux.receive(packet),
    onLossy: () => undefined,
    onWritable: () => mux.pump(),
    onClosed: (error) => {
      const goodbye = mux.goneAway?._tag === "Refused" && mux.goneAway.detail !== "" ? `: ${mux.goneAway.detail}` : ""
      mux.fail({ _tag: "LinkLost", detail: `${error.reason.message}${goodbye}` })
    }
  })

  const over = waiters.until(() => mux.fault === undefined ? undefined : Effect.void)
  const greeted = waiters.until(() => mux.hello === undefined ? undefined : Effect.void)
  const awaitHello = Effect.timeoutOrElse(greeted, {
    duration: numbers.helloTimeout,
    orElse: () => Effect.sync(() => mux.fail({ _tag: "NotCauseway", afterMs: numbers.helloTimeout }))
  })
  const creditTimes = creditTimer.until(() => creditLater ? Effect.sleep(numbers.creditInterval) : undefined).pipe(
    Effect.tap(() => {
      creditLater = false
      mux.creditInterval()
      return Effect.void
    }),
    Effect.forever
  )
  const dismiss = Effect.suspend(() =>
    mux.fault?._tag === "Violation"
      ? connection.drained.pipe(
        Effect.timeoutOption(numbers.drainTimeout),
        Effect.ignore,
        Effect.andThen(connection.close)
      )
      : Effect.void
  )
  const run = Effect.raceAllFirst([Effect.andThen(awaitHello, Effect.never), creditTimes, over]).pipe(
    Effect.andThen(dismiss)
  )
  return { connection, mux, waiters, run }
}
