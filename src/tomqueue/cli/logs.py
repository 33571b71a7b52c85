"""How the processes of the command log: text for people or JSON for machines, with the job in every record."""

import json
import logging
import sys
from datetime import UTC, datetime

from tomqueue.worker.context import current_job

__all__ = ["configure_logs"]

FIELDS = ("job_id", "job_name", "attempt")


def configure_logs(level: str, *, as_json: bool) -> None:
    """Send every record of this process to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(name_the_job)
    handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def name_the_job(record: logging.LogRecord) -> bool:
    """Write the running job's id, name and attempt into a record."""
    context = current_job.get()
    if context is not None and not hasattr(record, "job_id"):
        record.job_id, record.job_name, record.attempt = context.id, context.name, context.attempt
    return True


class TextFormatter(logging.Formatter):
    """Time, level, process, logger, the job if there is one, and the message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(process)d %(name)s%(job)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text; line breaks of the message cannot pretend to be records of their own."""
        job_id, name, attempt = (getattr(record, field, None) for field in FIELDS)
        record.job = "" if job_id is None else f" [job {job_id} {name} #{attempt}]"
        record.msg, record.args = printable(record.getMessage()), None
        return super().format(record)


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON."""
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "process": record.process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry.update({name: getattr(record, name) for name in FIELDS if hasattr(record, name)})
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def printable(text: str) -> str:
    """Return ``text`` on one line, without control characters that could steer a terminal."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
