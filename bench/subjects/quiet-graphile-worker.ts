// graphile-worker reads it once, when it is loaded, so this file is imported first. Without it graphile-worker formats and
// writes a line for each job, which is most of the work. Its own performance test sets it too.
process.env['NO_LOG_SUCCESS'] = '1'
