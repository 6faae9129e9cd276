"""What the SDK raises, and only where a developer is there to read it: at start, at registration, in tests.

While a service runs the SDK does not raise into it; it drops, counts and says so.
"""


class ObservabilityError(Exception):
    """The root. Its text says what is wrong, and `hint` how to mend it."""

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(f"{what}. {hint}" if hint else what)
        self.what, self.hint = what, hint


class ConfigurationError(ObservabilityError):
    """A setting is unknown or out of range; the text names the field, its value and where it was set."""


class RegistrationError(ObservabilityError):
    """A component's name is taken, or what is registered is not a component."""


class LifecycleError(ObservabilityError):
    """A component could not be started or stopped; what had been started was stopped again."""


class MetricsError(ObservabilityError):
    """A metric's name, labels or type are refused."""


class TracingError(ObservabilityError):
    """A span, sampler or propagator was asked for something that it cannot be."""


class LoggingError(ObservabilityError):
    """A logger was asked for something that it cannot be."""


class HealthError(ObservabilityError):
    """A health check cannot be registered or run."""


class ExportError(ObservabilityError):
    """An exporter cannot be built: its address, protocol or library is wrong or missing."""
