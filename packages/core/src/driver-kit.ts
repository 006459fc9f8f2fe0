/** For authors of drivers: what every driver for a broker needs, beside the `Driver` interface of `@errand/core/ports`. */
export { decodeTicket, encodeTicket } from './driver-kit/ticket-text.ts'
export type { DecodedTicket } from './driver-kit/ticket-text.ts'
