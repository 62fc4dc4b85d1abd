"""What is done with the edges of one receiver: new edges forward, their gradients backward, and those of old edges."""

from __future__ import annotations

from typing import NamedTuple

from llvmlite import ir

from rnnzoo.compiled.edge_kernels.blocks import Block, over_blocks
from rnnzoo.compiled.vector_kernels.pointers import emit_kept, emit_positive, emit_where_positive


class NewEdges(NamedTuple):
    """What `new_edges` is told; sizes are bytes unless said otherwise, an address of 0 means there is none.

    Args:
        edges, channels: old edges [senders, channels], and how many channels.
        weight: [channels, D].
        length: of D numbers.
        term: the same to all senders [D].
        sender, sender_row: terms of the senders [senders, D], and the distance of their rows.
        signs: gets a bit per new edge.
        kept, near: get the new edges [senders, D], past the caches and as usual.
        pool, pool_row: [senders, D], are added to; distance of their rows.
        total: [D], the sum over senders is added.
        diagonal, diagonal_sender: gets the edges [D] of one sender, a number, -1 for none.

    """

    edges: int
    channels: int
    weight: int
    length: int
    term: int
    sender: int
    sender_row: int
    signs: int
    kept: int
    near: int
    pool: int
    pool_row: int
    total: int
    diagonal: int
    diagonal_sender: int


def _emit_sums(block: Block, told: NewEdges) -> list[ir.Value]:
    """LLVM: the new edges before the ReLU."""
    terms = [block.load(block.in_row(told.term, vector)) for vector in range(block.vectors)]
    sums = [
        block.builder.fadd(block.load(block.at(told.sender, told.sender_row, place)), terms[place[1]])
        for place in block.places
    ]
    return block.product(sums, told.edges, told.channels, told.weight, told.length)


def _emit_new_edges(block: Block, *numbers: ir.Value) -> None:
    told, builder = NewEdges(*numbers), block.builder  # type: ignore[arg-type]
    values = [
        emit_positive(builder, block.at_signs(told.signs, told.length, place), value)
        for place, value in zip(block.places, _emit_sums(block, told), strict=True)
    ]
    for place, value in zip(block.places, values, strict=True):
        block.add_to(block.at(told.pool, told.pool_row, place), value)
    block.add_rows(told.total, values)
    block.store_edges(values, told.length, told.kept, told.near)
    done = builder.append_basic_block("diagonal_done")
    switch = builder.switch(builder.sub(told.diagonal_sender, block.row), done)
    for row in range(block.rows):
        case = builder.append_basic_block("diagonal")
        switch.add_case(block.number(row), case)
        builder.position_at_end(case)
        for vector in range(block.vectors):
            block.store(block.in_row(told.diagonal, vector), values[row * block.vectors + vector])
        builder.branch(done)
    builder.position_at_end(done)


def _emit_edges_again(block: Block, *numbers: ir.Value) -> None:
    told = NewEdges(*numbers)  # type: ignore[arg-type]
    for place, value in zip(block.places, _emit_sums(block, told), strict=True):
        block.store(block.at(told.near, told.length, place), emit_kept(block.builder, value))


class EdgeGradients(NamedTuple):
    """What `edge_gradients` is told; sizes are bytes, an address of 0 means there is none.

    Args:
        length: of D numbers.
        given: gradient of the new edges themselves [senders, D].
        sender_shares, receiver_share: gradients by way of the pools [senders, D] and [D].
        signs: what `new_edges` left.
        gradient: gets the gradient before the ReLU [senders, D].
        sender, sender_row: gradient of the senders' terms [senders, D], is added to; distance of its rows.
        total: [D], the sum over senders is added.

    """

    length: int
    given: int
    sender_shares: int
    receiver_share: int
    signs: int
    gradient: int
    sender: int
    sender_row: int
    total: int


def _emit_edge_gradients(block: Block, *numbers: ir.Value) -> None:
    told, builder = EdgeGradients(*numbers), block.builder  # type: ignore[arg-type]
    share = [block.load(block.in_row(told.receiver_share, vector)) for vector in range(block.vectors)]
    sums = [
        builder.fadd(block.load(block.at(told.sender_shares, told.length, place)), share[place[1]])
        for place in block.places
    ]
    without = builder.block
    with builder.if_then(builder.icmp_signed("!=", told.given, block.number(0))):
        added = []
        for place, value in zip(block.places, sums, strict=True):
            address = block.at(told.given, told.length, place)
            added.append(builder.fadd(block.load(address), value))
        inside = builder.block
    gradients = [builder.phi(value.type) for value in sums]
    for gradient, value, with_given in zip(gradients, sums, added, strict=True):
        gradient.add_incoming(value, without)
        gradient.add_incoming(with_given, inside)
    values = [
        emit_where_positive(builder, block.at_signs(told.signs, told.length, place), gradient)
        for place, gradient in zip(block.places, gradients, strict=True)
    ]
    for place, value in zip(block.places, values, strict=True):
        block.store(block.at(told.gradient, told.length, place), value)
        block.add_to(block.at(told.sender, told.sender_row, place), value)
    block.add_rows(told.total, values)


class OldEdges(NamedTuple):
    """What `gradients_to_edges` is told; sizes are bytes unless said otherwise, an address of 0 means there is none.

    Args:
        gradient, columns: gradient before the ReLU [senders, D], and D, a number.
        weight: transposed, [D, channels].
        length: of as many numbers as there are channels.
        near: gets the gradient of the old edges [senders, channels].

    """

    gradient: int
    columns: int
    weight: int
    length: int
    near: int


def _emit_gradients_to_edges(block: Block, *numbers: ir.Value) -> None:
    told = OldEdges(*numbers)  # type: ignore[arg-type]
    zeros = [block.zero for _ in block.places]
    values = block.product(zeros, told.gradient, told.columns, told.weight, told.length)
    for place, value in zip(block.places, values, strict=True):
        block.store(block.at(told.near, told.length, place), value)


new_edges = over_blocks(_emit_new_edges)
"""(senders, D, NewEdges): new edges of one receiver, their signs and pools."""
edges_again = over_blocks(_emit_edges_again)
"""(senders, D, NewEdges): new edges of one receiver once more, written to `near` and nothing else."""
edge_gradients = over_blocks(_emit_edge_gradients)
"""(senders, D, EdgeGradients): the gradient before the ReLU, and of the terms."""
gradients_to_edges = over_blocks(_emit_gradients_to_edges)
"""(senders, channels, OldEdges): the gradient of the old edges."""
