text = """never closed
