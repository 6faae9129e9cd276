"""The process we are a guest in: who it is, how it forks, what time it is, how it makes ids."""
