/** What groups of settings have in common: how they are read from the configuration, and how layers refuse those that cannot work. */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"

/**
 * The environment variable of a setting: of the group `NET_CRYPTO`, `ackDelay` is `CAUSEWAY_NET_CRYPTO_ACK_DELAY`. A name that begins with its
 * group does not say it twice.
 */
export const variable = (group: string, name: string): string => {
  const words = name.replace(/(?<=.)[A-Z]/g, "_$&").toUpperCase()
  return `CAUSEWAY_${group}_${words.startsWith(`${group}_`) ? words.slice(group.length + 1) : words}`
}

/** Every number and every flag of a group, each by its variable, with its default. */
export const settingsConfig = <Settings extends object>(group: string, defaults: Settings): Config.Config<Settings> =>
  Config.all(Object.fromEntries(
    Object.entries(defaults).map(([name, value]) => {
      const config: Config.Config<unknown> = typeof value === "boolean"
        ? Config.Boolean(variable(group, name))
        : Config.Number(variable(group, name))
      return [name, Config.withDefault(config, value)]
    })
    // It has the names of the defaults, and values of their types.
  )) as Config.Config<unknown> as Config.Config<Settings>

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

/** The settings that a layer was given, unless they cannot work. */
export const valid = <Settings, Invalid>(
  reference: Effect.Effect<Settings>,
  problemOf: (settings: Settings) => string | undefined,
  invalid: new(fields: { readonly message: string }) => Invalid
): Effect.Effect<Settings, Invalid> =>
  Effect.flatMap(reference, (settings) => {
    const message = problemOf(settings)
    return message === undefined ? Effect.succeed(settings) : Effect.fail(new invalid({ message }))
  })
