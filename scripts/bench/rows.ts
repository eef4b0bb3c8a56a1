/** The rows of the benchmark: which measurements each is made of, how often, and what it is meant to reach. */
import { type Bound, measureBound, type Span } from "./bound.ts"
import type { CryptoName } from "./boundCiphers.ts"
import { measureConnectTimes } from "./connectTime.ts"
import * as Direct from "./directRows.ts"
import { measureEcho } from "./echo.ts"
import { type Failover, measureFailover } from "./failover.ts"
import { type Goodput, measureGoodput } from "./goodput.ts"
import type { Options } from "./options.ts"
import * as Outage from "./outage.ts"
import { atLeast, below, type Row } from "./report.ts"
import * as Sessions from "./sessionRows.ts"
import { median, percentile, sum } from "./statistics.ts"
import * as Stock from "./stock.ts"
import * as StockRelay from "./stockRelay.ts"

const cryptos: ReadonlyArray<CryptoName> = ["native", "wasm"]
/** The rows that are not about cryptography use this one. */
const usual: CryptoName = "native"

export const span = ({ quick }: Options): Span =>
  quick ? { warm: 800, measured: 1_200 } : { warm: 1_500, measured: 3_000 }
export const repetitions = ({ quick }: Options): number => quick ? 3 : 5

const disorder = (packets: number): string => packets === 0 ? "nothing lost" : `${packets} PACKETS LOST OR OUT OF ORDER`

export const bound = async (options: Options): Promise<ReadonlyArray<Row>> => {
  const rows: Array<Row> = []
  for (const crypto of cryptos) {
    const samples: Array<number> = []
    for (let i = 0; i < repetitions(options); i++) samples.push((await measureBound(crypto, span(options))).rate)
    rows.push({ name: `upper bound, ${crypto}`, value: median(samples), unit: "MB/s", samples })
  }
  return rows
}

const goodputRows = (
  crypto: CryptoName,
  bounds: ReadonlyArray<Bound>,
  runs: ReadonlyArray<Goodput>
): ReadonlyArray<Row> => {
  const rates = runs.map(({ rate }) => rate)
  const boundRates = bounds.map(({ rate }) => rate)
  // Neighbouring runs see the same machine, so the ratio is taken inside each pair.
  const ratios = rates.map((rate, i) => rate * 100 / (boundRates[i] ?? Number.NaN))
  const costs = runs.map(({ cpu }, i) => (bounds[i]?.cpu ?? Number.NaN) * 100 / cpu)
  const ratio = median(ratios)
  const lost = sum(runs.map(({ displaced }) => displaced))
  return [
    { name: `upper bound, ${crypto}`, value: median(boundRates), unit: "MB/s", samples: boundRates },
    { name: `goodput, ${crypto}`, value: median(rates), unit: "MB/s", samples: rates, note: disorder(lost) },
    { name: `goodput / bound, ${crypto}`, value: ratio, unit: "%", samples: ratios, goal: atLeast(40, ratio, "%") },
    { name: `CPU of the bound / of goodput, ${crypto}`, value: median(costs), unit: "%", samples: costs },
    {
      name: `relay CPU per GB forwarded, ${crypto}`,
      value: median(runs.map(({ relayCpu }) => relayCpu)),
      unit: "s",
      samples: runs.map(({ relayCpu }) => relayCpu)
    },
    {
      name: `relay memory under load, ${crypto}`,
      value: Math.max(...runs.map(({ relayRss }) => relayRss)),
      unit: "MB",
      samples: runs.map(({ relayRss }) => relayRss)
    }
  ]
}

/** Bound and goodput in alternation, and in the other order every second time. */
export const goodput = async (options: Options): Promise<ReadonlyArray<Row>> => {
  const bounds = new Map<CryptoName, Array<Bound>>(cryptos.map((crypto) => [crypto, []]))
  const runs = new Map<CryptoName, Array<Goodput>>(cryptos.map((crypto) => [crypto, []]))
  for (let i = 0; i < repetitions(options); i++) {
    for (const crypto of cryptos) {
      const measures = [
        async () => bounds.get(crypto)?.push(await measureBound(crypto, span(options))),
        async () => runs.get(crypto)?.push(await measureGoodput(crypto, span(options)))
      ]
      for (const measure of i % 2 === 0 ? measures : measures.reverse()) await measure()
    }
  }
  return cryptos.flatMap((crypto) => goodputRows(crypto, bounds.get(crypto) ?? [], runs.get(crypto) ?? []))
}

export const echo = async (options: Options): Promise<ReadonlyArray<Row>> => {
  const runs = []
  for (let i = 0; i < 3; i++) runs.push(await measureEcho(usual, options.quick ? 1_000 : 4_000))
  const p50 = median(runs.map((run) => run.p50))
  const p99 = median(runs.map((run) => run.p99))
  return [
    {
      name: "echo of 64 bytes, p50",
      value: p50,
      unit: "ms",
      samples: runs.map((run) => run.p50),
      goal: below(1, p50, "ms")
    },
    { name: "echo of 64 bytes, p99", value: p99, unit: "ms", samples: runs.map((run) => run.p99) }
  ]
}

export const connect = async (options: Options): Promise<ReadonlyArray<Row>> => {
  const samples = await measureConnectTimes(usual, options.quick ? 7 : 20)
  const value = median(samples)
  return [
    { name: "connect, fresh nodes, median", value, unit: "ms", samples, goal: below(60, value, "ms") },
    { name: "connect, fresh nodes, slowest", value: Math.max(...samples), unit: "ms" }
  ]
}

/** What the receiver may miss the data for, milliseconds: the worst of a hundred kills, and every time of the rest. */
const longestGap = { kill: 50, stop: 1_000, freeze: 1_000 }

const failureOf = { kill: "SIGKILL of the relay", stop: "SIGSTOP of the relay", freeze: "the receiver's line froze" }

const outage = async (trials: number): Promise<ReadonlyArray<Row>> => {
  const name = `data after ${Outage.outageSeconds} s without relays, worst`
  const missing = StockRelay.missing()
  if (missing !== undefined) return [{ name, value: undefined, unit: "ms", note: missing }]
  const runs: Array<Outage.Outage> = []
  for (let i = 0; i < trials; i++) runs.push(await Outage.measureOutage(usual))
  const back = Math.max(...runs.map((run) => run.back))
  const share = Math.max(...runs.map(({ dials }) => Outage.busiest(dials, 100) * 100))
  const lost = sum(runs.map(({ displaced }) => displaced))
  const dials = runs.flatMap((run) => run.dials)
  const note = `${trials} x ${Outage.crowd} nodes and 2, three relays each: ${dials.length} dials`
  return [
    {
      name,
      value: back,
      unit: "ms",
      goal: below(5_000, back, "ms"),
      samples: runs.map((run) => run.back),
      note: disorder(lost)
    },
    {
      name: "every node on every relay again, worst",
      value: Math.max(...runs.map(({ allBack }) => allBack)),
      unit: "ms"
    },
    {
      name: "dials in the busiest 100 ms, worst",
      value: share,
      unit: "%",
      goal: below(25, share, "%"),
      samples: dials,
      note
    },
    { name: "dials, p10", value: percentile(dials, 0.1), unit: "ms" },
    { name: "dials, p50", value: median(dials), unit: "ms" },
    { name: "dials, p90", value: percentile(dials, 0.9), unit: "ms" }
  ]
}

export const failover = async (options: Options): Promise<ReadonlyArray<Row>> => {
  const { fault, quick, relays, traffic } = options
  if (fault === "outage") return outage(options.trials ?? 1)
  const name = `gap after ${failureOf[fault]}`
  const missing = relays === "stock" ? StockRelay.missing() : undefined
  if (missing !== undefined) return [{ name, value: undefined, unit: "ms", note: missing }]
  const runs: Array<Failover> = []
  const trials = options.trials ?? (quick ? 4 : fault === "kill" ? 20 : 10)
  for (let i = 0; i < trials; i++) runs.push(await measureFailover({ crypto: usual, fault, relays, traffic }))
  const lost = sum(runs.map(({ displaced }) => displaced))
  const note = `${trials} x ${traffic}, relays: ${relays}, ${disorder(lost)}`
  const limit = longestGap[fault]
  const quantiles = (name: string, samples: ReadonlyArray<number>): ReadonlyArray<Row> => [
    { name: `${name}, p50`, value: median(samples), unit: "ms", samples },
    { name: `${name}, p99`, value: percentile(samples, 0.99), unit: "ms" },
    { name: `${name}, max`, value: Math.max(...samples), unit: "ms" }
  ]
  const [p50, p99, max] = quantiles(name, runs.map(({ gap }) => gap))
  if (p50 === undefined || p99?.value === undefined || max === undefined) return []
  return [
    { ...p50, note, ...(lost > 0 ? { failed: true } : {}) },
    { ...p99, goal: below(limit, p99.value, "ms") },
    max,
    ...quantiles("longest gap before it", runs.map(({ gapBefore }) => gapBefore)),
    ...quantiles("longest gap after it", runs.map(({ gapAfter }) => gapAfter))
  ]
}

/** A pause of this many milliseconds counts as a stall: a wedged tox-bootstrapd stays so for tens of seconds. */
const stall = 1_000

export const stock = async (options: Options): Promise<ReadonlyArray<Row>> => {
  const name = "goodput through tox-bootstrapd, worst"
  const missing = StockRelay.missing()
  if (missing !== undefined) return [{ name, value: undefined, unit: "MB/s", note: missing }]
  const seconds = options.stockTrials !== undefined ? 60 : options.quick ? 4 : 10
  const runs = []
  for (let i = 0; i < (options.stockTrials ?? 1); i++) runs.push(await Stock.measureStock(usual, seconds))
  const rates = runs.map(({ rate }) => rate)
  const worst = Math.min(...rates)
  const gap = Math.max(...runs.map(({ longestGap }) => longestGap))
  const note = `${runs.length} x ${seconds} s, ${disorder(sum(runs.map(({ displaced }) => displaced)))}`
  return [
    { name, value: worst, unit: "MB/s", samples: rates, goal: atLeast(10, worst, "MB/s"), note },
    { name: "longest pause through tox-bootstrapd", value: gap, unit: "ms", goal: below(stall, gap, "ms") }
  ]
}

export const sessions = (options: Options): Promise<ReadonlyArray<Row>> =>
  Sessions.sessions({ crypto: usual, span: span(options), repetitions: repetitions(options), quick: options.quick })

export const direct = (options: Options): Promise<ReadonlyArray<Row>> =>
  // The garbage collector takes seconds to find its pace at a gigabyte a second.
  Direct.direct({
    span: options.quick ? span(options) : { warm: 5_000, measured: 4_000 },
    repetitions: repetitions(options),
    quick: options.quick
  })
