/**
 * The tests against tox-bootstrapd and the c-toxcore reference peer (`test/interop/reference`). They run real processes on fixed
 * ports, so one file runs at a time.
 */
import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/interop/**/*.test.ts"],
    pool: "forks",
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 30_000
  }
})
