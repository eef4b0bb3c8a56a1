/** What settings out of the configuration have in common: the names of their variables, and the check that their layer makes too. */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"

/** The environment variable of a setting: of the group `NET_CRYPTO`, `ackDelay` is `CAUSEWAY_NET_CRYPTO_ACK_DELAY`. */
export const variable = (group: string, name: string): string =>
  `CAUSEWAY_${group}_${name.replace(/(?<=.)[A-Z]/g, "_$&").toUpperCase()}`

/** Refuses settings of which `problemOf` says what is wrong. */
export const checked =
  <Settings>(problemOf: (settings: Settings) => string | undefined) =>
  (config: Config.Config<Settings>): Config.Config<Settings> =>
    Config.mapEffect(config, (settings) => {
      const message = problemOf(settings)
      if (message === undefined) return Effect.succeed(settings)
      return Effect.fail(
        new Config.ConfigError(new Schema.SchemaError(new SchemaIssue.InvalidValue({ message }, settings)))
      )
    })
