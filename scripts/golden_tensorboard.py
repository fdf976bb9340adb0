"""Writes the event file with which src/report/tensorboard.rs is compared, with the package tensorboard.

    pip install tensorboard && python3 scripts/golden_tensorboard.py
"""

from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

EVENTS = [("loss", 1, 0.5), ("loss", 300, 0.25), ("validation map@r", 300, 0.125)]


def main():
    path = Path(__file__).parent.parent / "src/report/testdata/events.tfevents"
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        writer = RecordWriter(file)
        writer.write(Event(file_version="brain.Event:2").SerializeToString())
        for tag, step, value in EVENTS:
            scalar = Summary.Value(tag=tag, simple_value=value)
            event = Event(step=step, summary=Summary(value=[scalar]))
            writer.write(event.SerializeToString())
        writer.flush()


if __name__ == "__main__":
    main()
