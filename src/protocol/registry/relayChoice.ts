/**
 * The smallest set of relays that serves all peers (rows T10, T13): a cover in which each peer needs several relays. Plain arithmetic on
 * indices; what a relay or a peer is, the caller knows. Greedy, then pruned: exact covers are not worth their cost, because the set
 * changes with every peer.
 */

/** One peer: the relays it can be served by, as indices, and how many of them it needs. */
export interface Demand {
  readonly relays: ReadonlyArray<number>
  readonly needs: number
}

/** One relay, as far as choosing goes. */
export interface Candidate {
  /** Chosen whatever the demands are. */
  readonly isFixed: boolean
  /** Of two that serve equally many, the lower preference wins: connected before not, well-behaved before suspect, near before far. */
  readonly preference: number
}

/**
 * The indices of a small set of candidates that meets every demand as far as its relays allow, and holds at least `minimum` relays
 * (or all there are).
 */
export const chooseRelays = (
  candidates: ReadonlyArray<Candidate>,
  demands: ReadonlyArray<Demand>,
  minimum: number
): ReadonlySet<number> => {
  const served: Array<Array<number>> = candidates.map(() => [])
  const missing = demands.map(({ needs, relays }, at) => {
    for (const relay of relays) served[relay]!.push(at)
    return Math.min(needs, relays.length)
  })
  const chosen = new Set<number>()
  const take = (relay: number): void => {
    chosen.add(relay)
    for (const at of served[relay]!) missing[at]!--
  }
  for (const [relay, candidate] of candidates.entries()) if (candidate.isFixed) take(relay)
  for (
    let next = best(candidates, chosen, served, missing);
    next >= 0;
    next = best(candidates, chosen, served, missing)
  ) {
    take(next)
  }
  prune(candidates, chosen, served, missing, minimum)
  fill(candidates, chosen, minimum)
  return chosen
}

/** The relay that serves the most demands that still miss one, or -1. */
const best = (
  candidates: ReadonlyArray<Candidate>,
  chosen: ReadonlySet<number>,
  served: ReadonlyArray<ReadonlyArray<number>>,
  missing: ReadonlyArray<number>
): number => {
  let found = -1
  let foundGain = 0
  for (const [relay, candidate] of candidates.entries()) {
    if (chosen.has(relay)) continue
    let gain = 0
    for (const at of served[relay]!) if (missing[at]! > 0) gain++
    const isBetter = gain > foundGain ||
      (gain === foundGain && gain > 0 && candidate.preference < candidates[found]!.preference)
    if (!isBetter) continue
    found = relay
    foundGain = gain
  }
  return found
}

/** Gives up relays that later choices have made superfluous, the least preferred first. */
const prune = (
  candidates: ReadonlyArray<Candidate>,
  chosen: Set<number>,
  served: ReadonlyArray<ReadonlyArray<number>>,
  missing: Array<number>,
  minimum: number
): void => {
  const order = [...chosen].toSorted((a, b) => candidates[b]!.preference - candidates[a]!.preference)
  for (const relay of order) {
    if (chosen.size <= minimum) return
    if (candidates[relay]!.isFixed || served[relay]!.some((at) => missing[at]! >= 0)) continue
    chosen.delete(relay)
    for (const at of served[relay]!) missing[at]!++
  }
}

const fill = (candidates: ReadonlyArray<Candidate>, chosen: Set<number>, minimum: number): void => {
  const rest = candidates.map((_, relay) => relay).filter((relay) => !chosen.has(relay))
  rest.sort((a, b) => candidates[a]!.preference - candidates[b]!.preference)
  for (const relay of rest) {
    if (chosen.size >= minimum) return
    chosen.add(relay)
  }
}
