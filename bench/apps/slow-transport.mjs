// A transport whose sink takes 2,000 writes a second: a log service that has become slow.
import { Writable } from 'node:stream'

export default function slow() {
  return new Writable({
    decodeStrings: false,
    highWaterMark: 1,
    write(_chunk, _encoding, done) {
      setTimeout(done, 50)
    },
  })
}
