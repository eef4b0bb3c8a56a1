/**
 * OpenSSH's sshd on loopback with a fresh host key, for the user that runs the tests and with a fresh key as the only way in; and the
 * clients' arguments for reaching it through any port.
 */
import * as Effect from "effect/Effect"
import { execFileSync } from "node:child_process"
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs"
import { userInfo } from "node:os"
import * as Path from "node:path"
import type { Program } from "./clientProgram.ts"
import * as Command from "./command.ts"
import * as LocalService from "./localService.ts"

/** sshd as root insists on this folder, which Debian's service would make when it starts. */
const privilegeSeparation = Effect.acquireRelease(
  Effect.sync(() => {
    const folder = "/run/sshd"
    if (!LocalService.isRoot || existsSync(folder)) return undefined
    mkdirSync(folder, { mode: 0o755 })
    return folder
  }),
  (made) =>
    Effect.sync(() => {
      if (made !== undefined) rmdirSync(made)
    })
)

/** StrictModes would refuse keys below the folder of temporary files, which everybody may write to. */
const configuration = (folder: string, port: number): string => `
ListenAddress 127.0.0.1:${port}
HostKey ${folder}/host
AuthorizedKeysFile ${folder}/authorized
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
PrintMotd no
PrintLastLog no
Subsystem sftp internal-sftp
`

export interface Ssh {
  /** What `scp` puts before the path of a file over there. */
  readonly host: string
  /** `ssh` through that port of this machine. */
  readonly ssh: (port: number, ...args: ReadonlyArray<string>) => Program
  /** `scp` through that port. */
  readonly scp: (port: number, ...args: ReadonlyArray<string>) => Program
}

export const start = Effect.fnUntraced(function*(port: number) {
  const folder = yield* Command.folder
  const file = (name: string) => Path.join(folder, name)
  for (const key of ["host", "client"]) {
    execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", key, "-f", file(key)])
  }
  copyFileSync(file("client.pub"), file("authorized"))
  writeFileSync(file("conf"), configuration(folder, port))
  // The clients know the host by this name, whatever port leads to it.
  const name = "forwarded"
  writeFileSync(file("known"), `${name} ${readFileSync(file("host.pub"), "utf8")}`)
  yield* privilegeSeparation
  yield* LocalService.start({ command: "/usr/sbin/sshd", args: ["-D", "-e", "-f", file("conf")], port })
  const options = [
    ...["-F", "none", "-i", file("client")],
    ...["BatchMode=yes", "IdentitiesOnly=yes", "IdentityAgent=none", "StrictHostKeyChecking=yes"].flatMap(withO),
    ...[`HostKeyAlias=${name}`, `UserKnownHostsFile=${file("known")}`, "GlobalKnownHostsFile=none"].flatMap(withO)
  ]
  const host = `${userInfo().username}@127.0.0.1`
  return {
    host,
    ssh: (through, ...args) => ({ command: "ssh", args: [...options, "-p", String(through), ...args] }),
    scp: (through, ...args) => ({ command: "scp", args: [...options, "-q", "-P", String(through), ...args] })
  } satisfies Ssh
})

const withO = (option: string): ReadonlyArray<string> => ["-o", option]
