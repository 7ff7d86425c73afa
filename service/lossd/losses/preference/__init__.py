"""Losses of preference learning: of two answers, which is the better one?"""
