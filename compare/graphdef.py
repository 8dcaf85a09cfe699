"""A circuit as TensorBoard's Graphs tab shows it: one operation a wire, its value and gradients as attributes."""

from __future__ import annotations

from pathlib import Path

from compare.readings import Readings
from compare.records import Refusal
from compare.wording import formula, precise, slopes

# The tab shows bytes beyond ASCII as \\342.
ASCII = str.maketrans({"∂": "d", "×": "x", "‖": "|", "ᵀ": "^T", "·": "*", "…": "to", "–": "-"})


def graph_def(found: Readings) -> bytes:
    """The circuit as a serialized GraphDef: nodes named after the wires, inputs as Placeholder."""
    from tensorboard.compat.proto.attr_value_pb2 import AttrValue
    from tensorboard.compat.proto.graph_pb2 import GraphDef
    from tensorboard.compat.proto.node_def_pb2 import NodeDef
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto

    gates = {g.name: g for g in found.circuit.gates}
    nodes = []
    for name, wire in found.wires.items():
        told = {"value": precise(wire.value), "gradient": precise(wire.grad)}
        if name in gates:
            local = zip(gates[name].wires(), slopes(gates[name], wire, "{:.6g}".format), strict=True)
            told |= {"gate": formula(gates[name]), "local": "  ".join(f"∂/∂{n} {slope}" for n, slope in local)}
        attr = {k: AttrValue(s=v.translate(ASCII).encode()) for k, v in told.items()}
        shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=n) for n in wire.value.shape])
        attr["_output_shapes"] = AttrValue(list=AttrValue.ListValue(shape=[shape]))
        op = gates[name].op if name in gates else "Placeholder"
        nodes.append(NodeDef(name=name, op=op, input=gates[name].wires() if name in gates else (), attr=attr))
    serialized: bytes = GraphDef(node=nodes).SerializeToString()
    return serialized


def write(found: Readings, folder: Path) -> None:
    """Write the circuit as a TensorBoard run into folder. Raises Refusal where it cannot be written."""
    from tensorboard.compat.proto.event_pb2 import Event
    from torch.utils.tensorboard import FileWriter

    try:
        writer = FileWriter(str(folder))
        writer.add_event(Event(graph_def=graph_def(found)))
        writer.close()
    except OSError as error:
        raise Refusal(f"{folder}: cannot be written: {error.strerror or error}") from error
