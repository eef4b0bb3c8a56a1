/** The rows about direct links. */
import type { Span } from "./bound.ts"
import * as Direct from "./direct.ts"
import { atLeast, below, type Row } from "./report.ts"
import { median } from "./statistics.ts"

export interface DirectRowOptions {
  readonly span: Span
  readonly repetitions: number
  readonly quick: boolean
}

/** What sessions over a direct link reach of bare TLS, percent; and how many times its echo theirs may take. */
const share = 80
const echoLimit = 1.3

const streamCounts = [1, 2, 4]

/** Runs the measures in order, and backwards every second time, so that what drifts is on both sides of each ratio. */
const alternate = async (times: number, measures: ReadonlyArray<() => Promise<unknown>>): Promise<void> => {
  for (let i = 0; i < times; i++) {
    for (const measure of i % 2 === 0 ? measures : measures.toReversed()) await measure()
  }
}

const goodput = async ({ repetitions, span }: DirectRowOptions): Promise<ReadonlyArray<Row>> => {
  const variants: ReadonlyArray<Direct.DirectVariant> = [
    { kind: "tcp", streams: 1 },
    ...streamCounts.map((streams) => ({ kind: "tls", streams }) as const),
    ...streamCounts.map((streams) => ({ kind: "direct", streams }) as const)
  ]
  const runs = variants.map((): Array<Direct.DirectGoodput> => [])
  await alternate(
    repetitions,
    variants.map((variant, i) => async () => runs[i]?.push(await Direct.measureGoodput(variant, span)))
  )
  const [tcp = [], ...others] = runs
  const [one = []] = others
  const rates = (of: ReadonlyArray<Direct.DirectGoodput>) => of.map(({ rate }) => rate)
  const row = (name: string, of: ReadonlyArray<Direct.DirectGoodput>): Row => ({
    name,
    value: median(rates(of)),
    unit: "MB/s",
    samples: rates(of)
  })
  const ratio = (
    name: string,
    of: ReadonlyArray<Direct.DirectGoodput>,
    to: ReadonlyArray<Direct.DirectGoodput>,
    goal?: number
  ): Row => {
    const samples = of.map(({ rate }, i) => rate * 100 / (to[i]?.rate ?? Number.NaN))
    const value = median(samples)
    return { name, value, unit: "%", samples, ...(goal === undefined ? {} : { goal: atLeast(goal, value, "%") }) }
  }
  return [
    row("bare TCP, one socket", tcp),
    ...streamCounts.flatMap((streams, i): ReadonlyArray<Row> => {
      const [tls = [], link = []] = [others[i], others[i + streamCounts.length]]
      const many = streams > 1
      const sockets = many ? `${streams} sockets` : "one socket"
      const what = `direct, ${streams} stream${many ? "s" : ""}`
      const costs = link.map(({ cpu }, at) => (tls[at]?.cpu ?? Number.NaN) * 100 / cpu)
      return [
        row(`bare TLS 1.3, ${sockets}`, tls),
        ...(many ? [ratio(`bare TLS, ${sockets} / one socket`, tls, one)] : []),
        row(what, link),
        ...(many ? [ratio(`${what} / bare TLS, ${sockets}`, link, tls, share)] : []),
        ratio(`${what} / bare TLS, one socket`, link, one, share),
        ratio(`${what} / bare TCP`, link, tcp),
        { name: `CPU of bare TLS, ${sockets} / of ${what}`, value: median(costs), unit: "%", samples: costs }
      ]
    })
  ]
}

const echo = async ({ quick, repetitions }: DirectRowOptions): Promise<ReadonlyArray<Row>> => {
  const whole = { size: 64, writes: 1, warm: 500, count: quick ? 1_000 : 4_000 }
  const tls: Array<number> = []
  const direct: Array<number> = []
  await alternate(repetitions, [
    async () => tls.push(await Direct.measureEcho({ kind: "tls", streams: 1 }, whole)),
    async () => direct.push(await Direct.measureEcho({ kind: "direct", streams: 1 }, whole))
  ])
  const ratios = direct.map((time, i) => time / (tls[i] ?? Number.NaN))
  const value = median(ratios)
  return [
    { name: "echo of 64 bytes, bare TLS, p50", value: median(tls), unit: "ms", samples: tls },
    { name: "echo of 64 bytes, direct, p50", value: median(direct), unit: "ms", samples: direct },
    { name: "echo, direct / bare TLS", value, unit: "times", samples: ratios, goal: below(echoLimit, value, "times") }
  ]
}

/** Row I19: a request in two writes, with TCP_NODELAY and without it. */
const noDelay = async ({ quick }: DirectRowOptions): Promise<ReadonlyArray<Row>> => {
  const halves = { size: 64, writes: 2, warm: 20, count: quick ? 40 : 100 }
  const rows: Array<Row> = []
  for (const [name, kind] of [["bare TLS", "tls"], ["direct", "direct"]] as const) {
    const variant = { kind, streams: 1 }
    const times: Record<"on" | "off", Array<number>> = { on: [], off: [] }
    await alternate(quick ? 2 : 3, [
      async () => times.on.push(await Direct.measureEcho(variant, halves)),
      async () => times.off.push(await Direct.measureEcho(variant, halves, true))
    ])
    const [on, off] = [median(times.on), median(times.off)]
    rows.push(
      { name: `request in two writes, ${name}, p50`, value: on, unit: "ms", samples: times.on },
      {
        name: `the same without TCP_NODELAY`,
        value: off,
        unit: "ms",
        samples: times.off,
        note: `${(off / on).toFixed(0)} times as long`
      }
    )
    if (name === "direct") {
      // As long as the system waits with an acknowledgement, about 40 ms: nothing of that may be in a direct link.
      rows.push({
        name: "direct, with / without TCP_NODELAY",
        value: on * 100 / off,
        unit: "%",
        goal: below(25, on * 100 / off, "%")
      })
    }
  }
  return rows
}

export const direct = async (options: DirectRowOptions): Promise<ReadonlyArray<Row>> => [
  ...await goodput(options),
  ...await echo(options),
  ...await noDelay(options)
]
