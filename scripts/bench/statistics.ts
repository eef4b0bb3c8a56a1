/** Order statistics of small sets of measurements. */

/** The value below which `fraction` of the samples lie: nearest rank, on a sorted copy. NaN without samples. */
export const percentile = (samples: ReadonlyArray<number>, fraction: number): number => {
  const sorted = samples.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(fraction * sorted.length) - 1))] ?? Number.NaN
}

export const median = (samples: ReadonlyArray<number>): number => percentile(samples, 0.5)

export const sum = (samples: ReadonlyArray<number>): number => samples.reduce((total, sample) => total + sample, 0)
