/** A gateway on this machine that maps ports: UPnP over HTTP as an Internet gateway device of version 2 answers, and NAT-PMP over UDP. */
import { createSocket } from "node:dgram"
import { once } from "node:events"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"

export interface FakeGatewayOptions {
  /** What it takes for its outside address. */
  outside?: string
  /** Refuses every mapping, with UPnP's error 725 or NAT-PMP's result 2. */
  refuses?: boolean
  /** Does as it is asked, but does not say so: of mappings only, or of taking them back as well. */
  mute?: "mapping" | "everything"
  /** Where to write what it was asked for, when several write into one. */
  readonly asked?: Array<string>
}

/** What it was asked for, as `AddAnyPortMapping 4000 127.0.0.1 3600`. */
export interface FakeGateway extends AsyncDisposable {
  readonly asked: Array<string>
  readonly options: FakeGatewayOptions
}

const serviceType = "urn:schemas-upnp-org:service:WANIPConnection:2"
const description = `<?xml version="1.0"?>
<root xmlns="urn:schemas-upnp-org:device-1-0"><device>
  <deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:2</deviceType><UDN>uuid:fake</UDN>
  <deviceList><device><deviceType>urn:schemas-upnp-org:device:WANDevice:2</deviceType>
    <deviceList><device><deviceType>urn:schemas-upnp-org:device:WANConnectionDevice:2</deviceType>
      <serviceList><service><serviceType>${serviceType}</serviceType><serviceId>urn:upnp-org:serviceId:WANIPConn1</serviceId>
        <SCPDURL>/scpd.xml</SCPDURL><controlURL>/control</controlURL></service></serviceList>
    </device></deviceList></device></deviceList>
</device></root>`

const envelope = (body: string) =>
  `<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>${body}</s:Body></s:Envelope>`
const answer = (action: string, values: string) =>
  envelope(`<u:${action}Response xmlns:u="${serviceType}">${values}</u:${action}Response>`)
const fault = envelope(
  "<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail>" +
    "<UPnPError xmlns=\"urn:schemas-upnp-org:control-1-0\"><errorCode>725</errorCode>" +
    "<errorDescription>OnlyPermanentLeasesSupported</errorDescription></UPnPError></detail></s:Fault>"
)

/** By UPnP; its outside ports are 20,000 above ours. */
export const upnpGateway = async (
  options: FakeGatewayOptions = {}
): Promise<FakeGateway & { readonly url: string }> => {
  const asked: Array<string> = options.asked ?? []
  const server = createServer((request, response) => {
    let body = ""
    request.on("data", (chunk: Buffer) => body += chunk.toString())
    request.on("end", () => {
      const value = (name: string) => new RegExp(`<${name}>([^<]*)<`).exec(body)?.[1] ?? ""
      const action = /#(\w+)/.exec(String(request.headers["soapaction"] ?? ""))?.[1]
      const [client, inside, outside, lease] = [
        "NewInternalClient",
        "NewInternalPort",
        "NewExternalPort",
        "NewLeaseDuration"
      ]
        .map(value)
      let [status, text] = [200, description]
      if (action === "AddAnyPortMapping") {
        asked.push(`${action} ${inside} ${client} ${lease}`)
        const reserved = `<NewReservedPort>${Number(outside) + 20_000}</NewReservedPort>`
        ;[status, text] = options.refuses === true ? [500, fault] : [200, answer(action, reserved)]
      } else if (action === "GetExternalIPAddress") {
        text = answer(action, `<NewExternalIPAddress>${options.outside ?? "5.6.7.8"}</NewExternalIPAddress>`)
      } else if (action !== undefined) {
        asked.push(`${action} ${outside}`)
        text = answer(action, "")
      }
      const isMute = action === "AddAnyPortMapping" || (action === "DeletePortMapping" && options.mute === "everything")
      if (isMute && options.mute !== undefined) return
      response.writeHead(status, { "content-type": "text/xml; charset=utf-8" }).end(text)
    })
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  return {
    asked,
    options,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/description.xml`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, "close")
    }
  }
}

const natPmpPort = 5_351

/** By NAT-PMP at an address of this machine, on its well-known port; its outside ports are 10,000 above ours. */
export const natPmpGateway = async (address: string, options: FakeGatewayOptions = {}): Promise<FakeGateway> => {
  const asked: Array<string> = options.asked ?? []
  const socket = createSocket({ type: "udp4", reuseAddr: true })
  socket.on("message", (request, { address: from, port }) => {
    const op = request.readUInt8(1)
    const reply = Buffer.alloc(op === 0 ? 12 : 16)
    reply.writeUInt8(op + 128, 1)
    if (options.refuses === true) reply.writeUInt16BE(2, 2)
    if (op === 0) Buffer.from((options.outside ?? "5.6.7.8").split(".").map(Number)).copy(reply, 8)
    else {
      const inside = request.readUInt16BE(4)
      asked.push(`map ${inside} ${request.readUInt32BE(8)}`)
      reply.writeUInt16BE(inside, 8)
      reply.writeUInt16BE(request.readUInt16BE(6) + 10_000, 10)
      reply.writeUInt32BE(request.readUInt32BE(8), 12)
      if (options.mute === "everything" || (options.mute === "mapping" && request.readUInt32BE(8) > 0)) return
    }
    socket.send(reply, port, from)
  })
  socket.bind(natPmpPort, address)
  await once(socket, "listening")
  return {
    asked,
    options,
    [Symbol.asyncDispose]: async () => {
      socket.close()
      await once(socket, "close")
    }
  }
}
