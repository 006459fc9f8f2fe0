import type { Context, Middleware } from '../../define/handler.ts'
import { ErrandError } from '../../errors.ts'

/**
 * Runs the handler inside its middleware, the first one outermost.
 * @param returned is told what each layer returned: a middleware may replace the handler's outcome.
 */
export async function onion(
  layers: readonly Middleware[],
  handler: (ctx: Context) => unknown,
  returned: (value: unknown) => void,
  ctx: Context,
): Promise<unknown> {
  const [layer, ...inner] = layers
  if (!layer) {
    const value = await handler(ctx)
    returned(value)
    return value
  }
  let called = false
  const next = async (): Promise<unknown> => {
    if (called) throw new ErrandError('E_OPTION', 'a middleware called next() twice')
    called = true
    return onion(inner, handler, returned, ctx)
  }
  const value = await layer(ctx, next)
  returned(value)
  return value
}
