/** The rows about sessions. */
import type { Span } from "./bound.ts"
import type { CryptoName } from "./boundCiphers.ts"
import { type Goodput, measureGoodput } from "./goodput.ts"
import { atLeast, below, type Row } from "./report.ts"
import type { SessionTraffic } from "./sessionProcess.ts"
import * as Sessions from "./sessions.ts"
import { median, sum } from "./statistics.ts"

export interface SessionRowOptions {
  readonly crypto: CryptoName
  readonly span: Span
  readonly repetitions: number
  readonly quick: boolean
}

const floods: ReadonlyArray<SessionTraffic & { readonly name: string }> = [
  { name: "writes of 64 KiB", kind: "bytes", size: 64 * 1024 },
  { name: "values of 1300 bytes", kind: "values", size: 1_300 }
]

/** What sessions reach of raw net_crypto, percent. */
const share = 95

/** Raw net_crypto, whose program cuts the same messages into packets, and sessions in alternation, and in the other order every second time. */
const goodput = async (options: SessionRowOptions): Promise<ReadonlyArray<Row>> => {
  const rows: Array<Row> = []
  for (const traffic of floods) {
    const raws: Array<Goodput> = []
    const runs: Array<Sessions.SessionGoodput> = []
    for (let i = 0; i < options.repetitions; i++) {
      const measures = [
        async () => raws.push(await measureGoodput(options.crypto, options.span, { messages: traffic.size })),
        async () => runs.push(await Sessions.measureSessionGoodput(options.crypto, options.span, traffic))
      ]
      for (const measure of i % 2 === 0 ? measures : measures.reverse()) await measure()
    }
    const rates = runs.map(({ rate }) => rate)
    const ratios = rates.map((rate, i) => rate * 100 / (raws[i]?.rate ?? Number.NaN))
    const costs = runs.map(({ cpu }, i) => (raws[i]?.cpu ?? Number.NaN) * 100 / cpu)
    const ratio = median(ratios)
    const lost = sum(runs.map(({ displaced }) => displaced))
    rows.push(
      {
        name: `one session, ${traffic.name}`,
        value: median(rates),
        unit: "MB/s",
        samples: rates,
        ...(lost > 0 ? { note: `${lost} VALUES LOST OR OUT OF ORDER`, failed: true } : {})
      },
      { name: "session / raw net_crypto", value: ratio, unit: "%", samples: ratios, goal: atLeast(share, ratio, "%") },
      { name: "CPU of raw net_crypto / of the session", value: median(costs), unit: "%", samples: costs }
    )
  }
  return rows
}

/** Round trips of the link after which the first byte of a new session is to be at the peer, the programs' own time included. */
const firstByteLimit = 1.2

const firstByte = async ({ crypto, quick }: SessionRowOptions): Promise<ReadonlyArray<Row>> => {
  const { echoed, roundTrip, there } = await Sessions.measureFirstBytes(crypto, quick ? 10 : 30)
  const note = `a round trip of the link: ${roundTrip.toFixed(1)} ms`
  const value = there / roundTrip
  return [
    {
      name: "first byte of a new session, at the peer",
      value,
      unit: "round trips",
      goal: below(firstByteLimit, value, "round trips"),
      note
    },
    { name: "first byte of a new session, and back", value: echoed / roundTrip, unit: "round trips" }
  ]
}

/** Bytes for an idle session at one end. */
const idleLimit = 2_048

const idle = async ({ crypto, quick }: SessionRowOptions): Promise<ReadonlyArray<Row>> => {
  const { acceptor, opener } = await Sessions.measureIdle(crypto, quick ? 2_000 : 10_000)
  return [
    { name: "an idle session, opener", value: opener, unit: "bytes", goal: below(idleLimit, opener, "bytes") },
    { name: "an idle session, acceptor", value: acceptor, unit: "bytes", goal: below(idleLimit, acceptor, "bytes") }
  ]
}

/** How much more than before the others' 99th percentile may be, percent. */
const stallLimit = 110

const stalled = async ({ crypto, quick }: SessionRowOptions): Promise<ReadonlyArray<Row>> => {
  const runs = await Sessions.measureStalled(crypto, quick ? 5 : 30)
  const ratios = runs.map((run) => run.stalled * 100 / run.clear)
  const value = median(ratios)
  const clear = median(runs.map((run) => run.clear))
  return [{
    name: "others' p99 beside a reader that stopped",
    value,
    unit: "%",
    samples: ratios,
    goal: below(stallLimit, value, "%"),
    note: `of ${clear.toFixed(1)} ms`
  }]
}

export const sessions = async (options: SessionRowOptions): Promise<ReadonlyArray<Row>> => [
  ...await goodput(options),
  ...await firstByte(options),
  ...await idle(options),
  ...await stalled(options)
]
