/**
 * The entry point `effect-causeway/testing`: fakes for the tests of programs that use Causeway. Everything in here is deterministic.
 */
export * as DirectTransportMemory from "./DirectTransportMemory.ts"
export * as EntropySeeded from "./EntropySeeded.ts"
export {
  type LinkConditions,
  type MemoryAddress,
  type MemoryConnection,
  type MemoryDirection,
  MemoryNetwork
} from "./MemoryNetwork.ts"
export { type RelayFault, type RelayFaultCounts, type RelayFaultDirection, RelayFaults } from "./RelayFaults.ts"
export * as RelayServerFaulty from "./RelayServerFaulty.ts"
export * as RelayTransportMemory from "./RelayTransportMemory.ts"
