"""The border to Axxon One: the only room that imports grpc, besides the simulator."""
