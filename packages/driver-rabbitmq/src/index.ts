export { fromUrl, rabbitmq } from './rabbitmq.ts'
export type { RabbitmqOptions, TlsOptions } from './options.ts'
