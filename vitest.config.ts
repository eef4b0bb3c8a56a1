/**
 * The tests that need only this repository. Those against c-toxcore are in `vitest.interop.config.ts`.
 */
import { defineConfig } from "vitest/config"

export default defineConfig({
  test: { include: ["test/**/*.test.ts"], exclude: ["test/interop/**"], pool: "forks", testTimeout: 20_000 }
})
