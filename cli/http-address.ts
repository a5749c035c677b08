import { defaultHttpAddress } from '../wire/endpoint.ts'

/** Where a collector is asked over http: a flag, else `SPILLWAY_HTTP`, else the port it has when nobody says otherwise. */
export function httpAddress(flag: string | undefined): string {
  return flag ?? (process.env['SPILLWAY_HTTP'] || defaultHttpAddress)
}
