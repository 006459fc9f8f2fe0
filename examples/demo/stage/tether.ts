// Loaded into every worker before anything else: when the demo dies without a word, so that the channel to it closes,
// the worker stops as if it had been asked to. No process outlives the demo.
process.on('disconnect', () => process.kill(process.pid, 'SIGTERM'))
process.channel?.unref()
