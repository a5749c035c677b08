// Loaded before a command: lets it fail in a way nobody expected, when told to.
process.on('SIGUSR2', () => {
  throw new Error('nobody expected this')
})
