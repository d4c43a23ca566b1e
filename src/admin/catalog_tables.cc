#include "admin/catalog_tables.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "admin/result.h"
#include "admin/server_settings.h"
#include "admin/text.h"

namespace admin {
namespace {

constexpr std::int64_t kPublic = 2200, kPgCatalog = 11, kOwner = 10, kHeap = 2;  // as PostgreSQL's
// Tools list the databases that PostgreSQL's own number are below.
constexpr std::int64_t kFirstTable = 16384, kDatabase = 30000;
constexpr Type kOid = Type::kInt8;

constexpr auto kNamespace =
    std::to_array<ColumnDef>({{"oid", kOid}, {"nspname"}, {"nspowner", kOid}, {"nspacl"}});
void fill_namespace(const Source&, Emit emit) {
  emit({kPublic, std::string("public"), kOwner, std::monostate()});
  emit({kPgCatalog, std::string("pg_catalog"), kOwner, std::monostate()});
}

constexpr auto kClass = std::to_array<ColumnDef>({
    {"oid", kOid},
    {"relname"},
    {"relnamespace", kOid},
    {"reltype", kOid},
    {"reloftype", kOid},
    {"relowner", kOid},
    {"relam", kOid},
    {"reltablespace", kOid},
    {"reltuples", Type::kFloat8},
    {"relpages", Type::kInt4},
    {"reltoastrelid", kOid},
    {"relhasindex", Type::kBool},
    {"relpersistence"},
    {"relkind"},
    {"relnatts", Type::kInt4},
    {"relchecks", Type::kInt4},
    {"relhasrules", Type::kBool},
    {"relhastriggers", Type::kBool},
    {"relhassubclass", Type::kBool},
    {"relrowsecurity", Type::kBool},
    {"relforcerowsecurity", Type::kBool},
    {"relispopulated", Type::kBool},
    {"relispartition", Type::kBool},
    {"relreplident"},
    {"relacl"},
    {"reloptions"},
    {"relpartbound"},
});
void fill_class(const Source&, Emit emit) {
  const std::int64_t zero = 0;
  const Value null;
  std::int64_t oid = kFirstTable;
  for (const Table& table : tables()) {
    emit({oid++,
          std::string(table.name),
          kPublic,
          zero,
          zero,
          kOwner,
          kHeap,
          zero,
          -1.0,
          zero,
          zero,
          zero,
          std::string("p"),
          std::string("r"),
          static_cast<std::int64_t>(table.columns.size()),
          zero,
          zero,
          zero,
          zero,
          zero,
          zero,
          std::int64_t{1},
          zero,
          std::string("n"),
          null,
          null,
          null});
  }
}

constexpr auto kAttribute = std::to_array<ColumnDef>({
    {"attrelid", kOid},
    {"attname"},
    {"atttypid", kOid},
    {"attstattarget", Type::kInt4},
    {"attlen", Type::kInt4},
    {"attnum", Type::kInt4},
    {"attndims", Type::kInt4},
    {"atttypmod", Type::kInt4},
    {"attstorage"},
    {"attcompression"},
    {"attnotnull", Type::kBool},
    {"atthasdef", Type::kBool},
    {"attidentity"},
    {"attgenerated"},
    {"attisdropped", Type::kBool},
    {"attcollation", kOid},
    {"attoptions"},
    {"attacl"},
});
void fill_attribute(const Source&, Emit emit) {
  const std::int64_t zero = 0;
  std::int64_t oid = kFirstTable;
  for (const Table& table : tables()) {
    std::int64_t number = 0;
    for (const ColumnDef& column : table.columns) {
      const WireType type = wire_type(column.type);
      emit({oid, std::string(column.name), std::int64_t{type.oid}, std::int64_t{-1},
            std::int64_t{type.size}, ++number, zero, std::int64_t{-1},
            std::string(type.size < 0 ? "x" : "p"), std::string(), zero, zero, std::string(),
            std::string(), zero, zero, std::monostate(), std::monostate()});
    }
    ++oid;
  }
}

struct TypeName {
  Type type;
  std::string_view name, shown;  // shown: as format_type() does
  char category;
};
constexpr auto kTypeNames = std::to_array<TypeName>({
    {Type::kText, "text", "text", 'S'},
    {Type::kInt4, "int4", "integer", 'N'},
    {Type::kInt8, "int8", "bigint", 'N'},
    {Type::kNumeric, "numeric", "numeric", 'N'},
    {Type::kFloat8, "float8", "double precision", 'N'},
    {Type::kBool, "bool", "boolean", 'B'},
    {Type::kTimestamp, "timestamptz", "timestamp with time zone", 'D'},
});

constexpr auto kTypeColumns = std::to_array<ColumnDef>({
    {"oid", kOid},
    {"typname"},
    {"typnamespace", kOid},
    {"typowner", kOid},
    {"typlen", Type::kInt4},
    {"typtype"},
    {"typcategory"},
    {"typrelid", kOid},
    {"typelem", kOid},
    {"typarray", kOid},
    {"typbasetype", kOid},
    {"typtypmod", Type::kInt4},
    {"typnotnull", Type::kBool},
    {"typdelim"},
    {"typcollation", kOid},
    {"typdefault"},
    {"typinput"},
    {"typoutput"},
    {"typbyval", Type::kBool},
    {"typisdefined", Type::kBool},
    {"typispreferred", Type::kBool},
    {"typndims", Type::kInt4},
    {"typalign"},
    {"typstorage"},
    {"typacl"},
});
void fill_type(const Source&, Emit emit) {
  const std::int64_t zero = 0;
  for (const TypeName& each : kTypeNames) {
    const WireType type = wire_type(each.type);
    emit({std::int64_t{type.oid},
          std::string(each.name),
          kPgCatalog,
          kOwner,
          std::int64_t{type.size},
          std::string("b"),
          std::string(1, each.category),
          zero,
          zero,
          zero,
          zero,
          std::int64_t{-1},
          zero,
          std::string(","),
          zero,
          std::monostate(),
          concat(each.name, "in"),
          concat(each.name, "out"),
          std::int64_t{type.size > 0},
          std::int64_t{1},
          zero,
          zero,
          std::string("i"),
          std::string(type.size < 0 ? "x" : "p"),
          std::monostate()});
  }
}

constexpr auto kAm = std::to_array<ColumnDef>({{"oid", kOid}, {"amname"}, {"amtype"}});
void fill_am(const Source&, Emit emit) { emit({kHeap, std::string("heap"), std::string("t")}); }

constexpr auto kDatabaseColumns = std::to_array<ColumnDef>({
    {"oid", kOid},
    {"datname"},
    {"datdba", kOid},
    {"encoding", Type::kInt4},
    {"datlocprovider"},
    {"datistemplate", Type::kBool},
    {"datallowconn", Type::kBool},
    {"datconnlimit", Type::kInt4},
    {"dattablespace", kOid},
    {"datcollate"},
    {"datctype"},
    {"daticulocale"},
    {"datacl"},
});
void fill_database(const Source&, Emit emit) {
  const Value null;
  emit({kDatabase, std::string("weir"), kOwner, std::int64_t{6}, std::string("c"), std::int64_t{0},
        std::int64_t{1}, std::int64_t{-1}, std::int64_t{0}, std::string("C"), std::string("C"),
        null, null});
}

constexpr auto kRoles = std::to_array<ColumnDef>({
    {"oid", kOid},
    {"rolname"},
    {"rolsuper", Type::kBool},
    {"rolinherit", Type::kBool},
    {"rolcreaterole", Type::kBool},
    {"rolcreatedb", Type::kBool},
    {"rolcanlogin", Type::kBool},
    {"rolreplication", Type::kBool},
    {"rolbypassrls", Type::kBool},
    {"rolconnlimit", Type::kInt4},
    {"rolvaliduntil", Type::kTimestamp},
});
void fill_roles(const Source&, Emit emit) {
  const std::int64_t no = 0;
  emit({kOwner, std::string("weir"), no, no, no, no, no, no, no, std::int64_t{-1},
        std::monostate()});
}

constexpr auto kUsers = std::to_array<ColumnDef>({
    {"usename"},
    {"usesysid", kOid},
    {"usecreatedb", Type::kBool},
    {"usesuper", Type::kBool},
    {"userepl", Type::kBool},
    {"usebypassrls", Type::kBool},
    {"valuntil", Type::kTimestamp},
});
void fill_users(const Source&, Emit emit) {
  const std::int64_t no = 0;
  emit({std::string("weir"), kOwner, no, no, no, no, std::monostate()});
}

constexpr auto kSettingColumns = std::to_array<ColumnDef>({
    {"name"},
    {"setting"},
    {"unit"},
    {"category"},
    {"short_desc"},
    {"extra_desc"},
    {"context"},
    {"vartype"},
    {"source"},
    {"min_val"},
    {"max_val"},
    {"enumvals"},
    {"boot_val"},
    {"reset_val"},
    {"pending_restart", Type::kBool},
});
void fill_settings(const Source&, Emit emit) {
  const Value null;
  for (const ServerSetting& each : server_settings()) {
    const std::string value(each.value);
    emit({std::string(each.name), value, null, std::string("Console"), std::string(), null,
          std::string("internal"), std::string("string"), std::string("default"), null, null, null,
          value, value, std::int64_t{0}});
  }
}

constexpr auto kSchemaTables = std::to_array<ColumnDef>(
    {{"table_catalog"}, {"table_schema"}, {"table_name"}, {"table_type"}, {"is_insertable_into"}});
void fill_schema_tables(const Source&, Emit emit) {
  for (const Table& table : tables()) {
    emit({std::string("weir"), std::string("public"), std::string(table.name),
          std::string("BASE TABLE"), std::string("NO")});
  }
}

constexpr auto kSchemaColumns = std::to_array<ColumnDef>({{"table_catalog"},
                                                          {"table_schema"},
                                                          {"table_name"},
                                                          {"column_name"},
                                                          {"ordinal_position", Type::kInt4},
                                                          {"column_default"},
                                                          {"is_nullable"},
                                                          {"data_type"},
                                                          {"udt_name"}});
const TypeName* name_of(Type type) {
  const auto found = std::ranges::find(kTypeNames, type, &TypeName::type);
  return found == kTypeNames.end() ? nullptr : &*found;
}
void fill_schema_columns(const Source&, Emit emit) {
  for (const Table& table : tables()) {
    std::int64_t number = 0;
    for (const ColumnDef& column : table.columns) {
      const TypeName* type = name_of(column.type);
      emit({std::string("weir"), std::string("public"), std::string(table.name),
            std::string(column.name), ++number, std::monostate(), std::string("YES"),
            std::string(type->shown), std::string(type->name)});
    }
  }
}

// What the console's tables have none of.
struct Empty {
  std::string_view name, columns;
};
constexpr auto kEmpty = std::to_array<Empty>({
    {"pg_attrdef", "oid adrelid adnum adbin"},
    {"pg_auth_members", "roleid member grantor admin_option"},
    {"pg_collation", "oid collname collnamespace"},
    {"pg_constraint",
     "oid conname connamespace contype condeferrable condeferred convalidated conrelid contypid "
     "conindid conparentid confrelid confupdtype confdeltype confmatchtype conislocal coninhcount "
     "connoinherit conkey confkey conbin"},
    {"pg_cursors", "name statement is_holdable is_binary is_scrollable creation_time"},
    {"pg_depend", "classid objid objsubid refclassid refobjid refobjsubid deptype"},
    {"pg_description", "objoid classoid objsubid description"},
    {"pg_enum", "oid enumtypid enumsortorder enumlabel"},
    {"pg_extension", "oid extname extowner extnamespace extrelocatable extversion"},
    {"pg_foreign_table", "ftrelid ftserver ftoptions"},
    {"pg_get_keywords", "word catcode barelabel catdesc baredesc"},
    {"pg_index",
     "indexrelid indrelid indnatts indnkeyatts indisunique indisprimary indisexclusion "
     "indimmediate indisclustered indisvalid indcheckxmin indisready indislive indisreplident "
     "indkey indcollation indclass indoption indexprs indpred"},
    {"pg_inherits", "inhrelid inhparent inhseqno inhdetachpending"},
    {"pg_policy", "oid polname polrelid polcmd polpermissive polroles polqual polwithcheck"},
    {"pg_proc",
     "oid proname pronamespace proowner prolang prokind proretset provolatile prorettype "
     "proargtypes proargnames prosrc"},
    {"pg_publication", "oid pubname pubowner puballtables"},
    {"pg_publication_namespace", "oid pnpubid pnnspid"},
    {"pg_publication_rel", "oid prpubid prrelid prqual prattrs"},
    {"pg_range", "rngtypid rngsubtype"},
    {"pg_replication_slots", "slot_name plugin slot_type datoid database temporary active"},
    {"pg_rewrite", "oid rulename ev_class ev_type ev_enabled is_instead"},
    {"pg_sequence", "seqrelid seqtypid seqstart seqincrement seqmax seqmin seqcache seqcycle"},
    {"pg_shdescription", "objoid classoid description"},
    {"pg_stat_gssapi", "pid gss_authenticated principal encrypted"},
    {"pg_statistic_ext", "oid stxrelid stxname stxnamespace stxowner stxstattarget stxkind"},
    {"pg_tablespace", "oid spcname spcowner"},
    {"pg_trigger", "oid tgrelid tgname tgfoid tgtype tgenabled tgisinternal tgconstraint"},
});

void fill_nothing(const Source&, Emit) {}

}  // namespace

std::span<const Table> catalog_tables() {
  static const std::vector<std::vector<ColumnDef>> empty_columns = [] {
    std::vector<std::vector<ColumnDef>> all;
    for (const Empty& each : kEmpty) {
      auto& columns = all.emplace_back();
      for (std::string_view rest = each.columns; !rest.empty();) {
        const std::size_t end = std::min(rest.find(' '), rest.size());
        columns.push_back({rest.substr(0, end)});
        rest.remove_prefix(std::min(end + 1, rest.size()));
      }
    }
    return all;
  }();
  static const std::vector<Table> all = [] {
    std::vector<Table> list = {
        {"pg_namespace", "", kNamespace, fill_namespace},
        {"pg_class", "", kClass, fill_class},
        {"pg_attribute", "", kAttribute, fill_attribute},
        {"pg_type", "", kTypeColumns, fill_type},
        {"pg_am", "", kAm, fill_am},
        {"pg_database", "", kDatabaseColumns, fill_database},
        {"pg_roles", "", kRoles, fill_roles},
        {"pg_user", "", kUsers, fill_users},
        {"pg_settings", "", kSettingColumns, fill_settings},
        {"information_schema.tables", "", kSchemaTables, fill_schema_tables},
        {"information_schema.columns", "", kSchemaColumns, fill_schema_columns},
    };
    for (std::size_t i = 0; i < kEmpty.size(); ++i) {
      list.push_back({kEmpty[i].name, "", empty_columns[i], fill_nothing});
    }
    return list;
  }();
  return all;
}

bool names_catalogs(std::string_view sql) {
  const std::string text = lower(sql);
  return text.find("pg_") != std::string::npos ||
         text.find("information_schema") != std::string::npos;
}

std::string_view type_name(std::int64_t oid) {
  for (const TypeName& each : kTypeNames) {
    if (std::int64_t{wire_type(each.type).oid} == oid) return each.shown;
  }
  return "";
}

std::string_view table_help(std::int64_t oid) {
  const std::int64_t index = oid - kFirstTable;
  const auto all = tables();
  if (index < 0 || index >= static_cast<std::int64_t>(all.size())) return "";
  return all[static_cast<std::size_t>(index)].help;
}

}  // namespace admin
