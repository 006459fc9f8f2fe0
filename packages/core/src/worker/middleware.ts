import type { Context, Middleware } from '../define/handler.ts'
import { ErrandError } from '../errors.ts'

/**
 * The handler inside its middleware, the first one outermost.
 * @param returned is told what each layer returned: a middleware may put its own outcome in place of the handler's.
 */
export function onion(
  middleware: readonly Middleware[],
  handler: (ctx: Context) => unknown,
  returned: (value: unknown) => void,
): (ctx: Context) => Promise<unknown> {
  const core = async (ctx: Context): Promise<unknown> => {
    const value = await handler(ctx)
    returned(value)
    return value
  }
  return middleware.reduceRight<(ctx: Context) => Promise<unknown>>(
    (inner, layer) => async (ctx) => {
      let called = false
      const value = await layer(ctx, async () => {
        if (called) throw new ErrandError('E_OPTION', 'a middleware called next() twice')
        called = true
        return inner(ctx)
      })
      returned(value)
      return value
    },
    core,
  )
}
