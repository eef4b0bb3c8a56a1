/** A process that simulates one world after another, as it is told to. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as ToxCryptoAuto from "../../src/layers/ToxCryptoAuto.ts"
import * as Simulation from "../../src/testing/simulation/Simulation.ts"
import { plantedBugs } from "./plantedBugs.ts"

const bug = process.argv[2]
if (bug !== undefined) plantedBugs[bug]!()

/** Built once: it costs more than a small world. */
const crypto = await Effect.runPromise(Layer.buildWithScope(ToxCryptoAuto.layer, Scope.makeUnsafe()))
let seed = 0

const fail = (what: unknown) => {
  const text = what instanceof Error ? what.stack ?? what.message : String(what)
  process.send!(Simulation.failed(seed, `I5 ${text}`), () => process.exit(1))
}
process.on("uncaughtException", fail)
process.on("unhandledRejection", fail)
process.on("disconnect", () => process.exit(0))
process.on("message", (message: { readonly seed: number }) => {
  seed = message.seed
  Effect.runCallback(Effect.provide(Simulation.run(seed), crypto), {
    onExit: (exit) => {
      if (Exit.isSuccess(exit)) process.send!(exit.value)
      else fail(exit.cause)
    }
  })
})
process.send!("ready")
