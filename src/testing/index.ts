/**
 * The entry point `effect-causeway/testing`: fakes for the tests of programs that use Causeway. Everything in here is deterministic.
 */
export * as EntropySeeded from "./EntropySeeded.ts"
export {
  type LinkConditions,
  type MemoryAddress,
  type MemoryConnection,
  type MemoryDirection,
  MemoryNetwork
} from "./MemoryNetwork.ts"
export * as RelayTransportMemory from "./RelayTransportMemory.ts"
