# SPDX-License-Identifier: Apache-2.0
"""A client in Python's own gRPC, without generated code: `grpcio_client.py ADDRESS`, one line of JSON for each answer."""

import json
import sys

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

TIMEOUT_S = 60


class Service:
    """The calls of a service, as its own reflection spells them."""

    def __init__(self, channel, name):
        self._channel = channel
        self._name = name
        pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        self._calls = pool.FindServiceByName(name).methods_by_name

    def _call(self, kind, name):
        method = self._calls[name]
        answer = message_factory.GetMessageClass(method.output_type)
        return message_factory.GetMessageClass(method.input_type), getattr(self._channel, kind)(
            f"/{self._name}/{name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )

    def once(self, name, **fields):
        """The answer of a call."""
        request, call = self._call("unary_unary", name)
        return call(request(**fields), timeout=TIMEOUT_S)

    def each(self, name, **fields):
        """The answers of a stream, as they come."""
        request, call = self._call("unary_stream", name)
        return call(request(**fields), timeout=TIMEOUT_S)


def say(what, message):
    """Writes an answer."""
    fields = json_format.MessageToDict(message)
    print(json.dumps({"what": what, "answer": fields}), flush=True)


def main(address):
    """Asks what an operator would."""
    with grpc.insecure_channel(address) as channel:
        status = Service(channel, "psp.v1.StatusService")
        say("status", status.once("GetStatus", max_peers=1))
        token = ""
        while True:
            page = status.once("ListTunnels", page_size=2, page_token=token)
            say("tunnels", page)
            token = page.next_page_token
            if not token:
                break
        events = status.each("WatchEvents")
        for _ in range(2):
            say("event", next(events))
        events.cancel()
        health = Service(channel, "grpc.health.v1.Health")
        say("health", health.once("Check"))
        try:
            status.once("Ping", dst="10.2.0.1")
        except grpc.RpcError as error:
            print(json.dumps({"what": "refused", "answer": error.code().name}), flush=True)


main(sys.argv[1])
