// What the tests of every package may inject: `const url = inject('postgres')`. Undefined if the service is missing.
import 'vitest'

declare module 'vitest' {
  export interface ProvidedContext {
    postgres: string | undefined
    /** For `rabbitmq({ url, prefix })`; give it a prefix of your own. */
    amqp: string | undefined
    /** For `sqs(url)`; give it a prefix of your own. */
    sqs: string | undefined
    /** The places of the stories of faults. Only their own run provides them. */
    place: string
  }
}
