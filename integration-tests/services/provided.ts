// What the tests of every package may inject: `const url = inject('postgres')`. Undefined where the service is missing.
import 'vitest'

declare module 'vitest' {
  export interface ProvidedContext {
    postgres: string | undefined
  }
}
