"""Raw strings: a schema that comes as data, such as JSON, with states named by strings and handlers by a mapping."""

import json

from amachine import Event, Machine, Schema, UnknownState

DATA = """
{
    "Water":  {"doc": "The tap runs."},
    "Wet":    {"require": ["Water"], "auto": true},
    "Dry":    {"groups": ["comfort"]},
    "Towel":  {"remove": ["Wet", "Water"], "add": ["Dry"]}
}
"""


def dried(event: Event[None]) -> None:
    """Handlers are found by name: the state's, and the phase's."""
    print(f"  {event.name} runs, called by `{event.mutation}`")


def main() -> None:
    """Get wet, then dry."""
    schema = Schema.parse(json.loads(DATA), name="Bath")
    bath = Machine.of(schema, "bath", handlers=[{"DryState": dried}])

    print("Wet is auto, so it follows Water:")
    bath.add("Water")
    print(f"  {bath.active}")

    print("Towel removes both, and brings Dry:")
    print(f"  {bath.what_can_i_add()} could be added")
    bath.add("Towel", colour="blue")
    print(f"  {bath.active}, the towel's arguments are {bath['Towel'].args}")

    print("a name that is none is caught, with the nearest one:")
    try:
        bath.add("Towl")
    except UnknownState as error:
        print(f"  {error}")

    print("and the schema goes back to data:")
    print(f"  {json.dumps(bath.schema.to_dict()['Towel'])}")
    print(bath.inspect())


if __name__ == "__main__":
    main()
