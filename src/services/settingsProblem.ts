/** Checks settings for what their types cannot say. */

/** The least and the greatest value of a number; `whole` ones have no fraction. Infinity is allowed only as an explicit greatest value. */
export interface SettingRange {
  readonly from: number
  readonly to: number
  readonly whole?: true
}

/** At least one, in whole numbers. */
export const count: SettingRange = { from: 1, to: Number.MAX_SAFE_INTEGER, whole: true }
/** Any whole number, also none. */
export const countOrNone: SettingRange = { from: 0, to: Number.MAX_SAFE_INTEGER, whole: true }
/** Milliseconds of a time that must pass: more than none, less than what timers can wait (24 days). */
export const duration: SettingRange = { from: 1, to: 2_147_483_647 }
/** Milliseconds of a time that may be none. */
export const durationOrNone: SettingRange = { from: 0, to: 2_147_483_647 }

/** What is wrong with the first setting that is out of its range, and what would be right; undefined when all are in order. */
export const settingsProblem = <Names extends string>(
  settings: Readonly<Record<Names, unknown>>,
  ranges: Readonly<Record<Names, SettingRange | "boolean">>
): string | undefined => {
  for (const name of Object.keys(ranges) as Array<Names>) {
    const value = settings[name]
    const range = ranges[name]
    if (range === "boolean") {
      if (typeof value !== "boolean") return `${name} is ${String(value)}: use true or false`
      continue
    }
    const { from, to, whole = false } = range
    const isNumber = typeof value === "number" && value >= from && value <= to
    if (isNumber && (!whole || Number.isInteger(value))) continue
    const upTo = to === Number.MAX_SAFE_INTEGER ? `of at least ${from}` : `from ${from} to ${to}`
    return `${name} is ${String(value)}: use a ${whole ? "whole " : ""}number ${upTo}`
  }
  return undefined
}
