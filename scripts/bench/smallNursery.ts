/** Imported first, so that a process of the benchmark uses memory as the command does (`src/main.ts`). */
import { setFlagsFromString } from "node:v8"

setFlagsFromString("--semi-space-growth-factor=1")
