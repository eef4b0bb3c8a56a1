import { defineConfig } from "vitest/config"

export default defineConfig({
  test: { include: ["test/**/*.test.ts"], exclude: ["test/integration/tox/**"], pool: "forks", testTimeout: 20_000 }
})
